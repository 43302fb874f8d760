"""Appends to `dead_letter_actions`, from `archive` and from commands.

The table has no offsets and no fence: it says what was done, in no order, and a row
that is there twice means the same as once. `semloop/lake/views/dead_letters.sql` makes
the states of it.
"""

from collections.abc import Collection, Iterable, Set
from datetime import datetime
from functools import partial

import pyarrow as pa

from schemas.arrow import DEAD_LETTER_ACTIONS
from schemas.replay import Action, ActionKind, Replayed, origin_text
from semloop.delta.streams import StreamId
from semloop.errors import StorageUnavailable
from semloop.retry import retry
from semloop.storage.location import Storage
from sinks.delta.append_rows import append_rows
from sinks.delta.create_table import create
from sinks.flow_tables import FlowContext

TABLE = "dead_letter_actions"
MARK = ("replay_of", "replay_origin", "attempt")


def append_actions(
    storage: Storage, actions: Collection[Action], at: datetime, retry_s: float
) -> None:
    """Append one row per action; create the table if it is absent.

    Args:
        storage: the lake.
        actions: rows, without their time.
        at: their time.
        retry_s: seconds to retry while storage is unavailable.

    Raises:
        LakeError: the table cannot be written.
        StorageUnavailable: storage did not recover in time.
    """
    if actions:
        rows = zip(*((*action, at) for action in actions), strict=True)
        columns = [
            pa.array(column, field.type)
            for column, field in zip(rows, DEAD_LETTER_ACTIONS, strict=True)
        ]
        table = pa.Table.from_arrays(columns, schema=DEAD_LETTER_ACTIONS)
        retry(partial(_append, storage, table), on=StorageUnavailable, seconds=retry_s)


def _append(storage: Storage, rows: pa.Table) -> None:
    create(storage, TABLE)
    append_rows(storage, TABLE, rows)


def settle(
    context: FlowContext,
    stream: StreamId,
    replayed: Iterable[Replayed],
    dead_lettered: Set[tuple[int, int]],
) -> None:
    """Append which dead letters are resolved, before the commit of their events.

    If the commit does not come about, and the record becomes a dead letter when it is
    read again, the view ignores the row, since it names the record.

    Args:
        context: lake, settings and clock.
        stream: the stream of the records.
        replayed: events of the commit that follows.
        dead_lettered: (partition, offset) of records that have a dead letter already,
            and so become no events.
    """
    actions = [
        Action(
            one.mark.letter,
            one.mark.origin,
            ActionKind.RESOLVED,
            one.mark.attempt,
            one.event_id,
            origin_text(stream.topic_id, one.partition, one.offset),
        )
        for one in replayed
        if (one.partition, one.offset) not in dead_lettered
    ]
    _append_at_commit(context, actions)


def park_failed(context: FlowContext, letters: pa.Table) -> None:
    """Append which dead letters are parked, since their replays have failed.

    Args:
        context: lake, settings and clock.
        letters: new rows of `dead_letters`.
    """
    attempts_max = context.settings.archive.dead_letter_attempts_max
    marks = (letters[name].to_pylist() for name in MARK)
    actions = [
        Action(
            letter, origin, ActionKind.PARKED, attempt, note=f"{attempt} replays failed"
        )
        for letter, origin, attempt in zip(*marks, strict=True)
        if letter is not None and attempt >= attempts_max
    ]
    _append_at_commit(context, actions)


def _append_at_commit(context: FlowContext, actions: Collection[Action]) -> None:
    retry_s = context.settings.commits.storage_retry_s
    append_actions(context.storage, actions, context.now(), retry_s)
