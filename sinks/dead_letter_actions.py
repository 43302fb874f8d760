"""Appends to `dead_letter_actions`, from `archive` and from commands.

The table has no offsets and no fence: it says what was done, in no order, and a row
that is there twice means the same as once. `semloop/lake/views/dead_letters.sql` makes
the states of it.
"""

from collections.abc import Collection, Iterable, Sequence, Set
from datetime import datetime
from functools import partial

import pyarrow as pa

from schemas.arrow import DEAD_LETTER_ACTIONS
from schemas.replay import Action, ActionKind, Replayed
from semloop.errors import StorageUnavailable
from semloop.retry import retry
from semloop.storage.errors import translate
from semloop.storage.location import Storage
from sinks.delta.commit_error import FAILURES
from sinks.delta.create_table import create
from sinks.delta.parquet_file import write_file

TABLE = "dead_letter_actions"
PLACE = ("kafka_partition", "kafka_offset")


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
    handle = storage.open(TABLE)
    try:
        file = write_file(storage, TABLE, rows, handle.version() + 1)
        handle.create_write_transaction([file], "append", handle.schema(), [])
    except FAILURES as error:
        raise translate(storage, f"commit to table {TABLE}", error) from error


def resolved(
    replayed: Iterable[Replayed], dead_lettered: Set[tuple[int, int]]
) -> list[Action]:
    """Return that replays have become events.

    Args:
        replayed: events of the commit that follows.
        dead_lettered: (partition, offset) of records that are no events, since they
            have a dead letter already.
    """
    return [
        Action(*one.mark[:2], ActionKind.RESOLVED, one.mark.attempt, one.event_id)
        for one in replayed
        if (one.partition, one.offset) not in dead_lettered
    ]


def parked(letters: pa.Table, attempts_max: int) -> list[Action]:
    """Return which dead letters are parked, since their replays failed too often.

    Args:
        letters: new rows of `dead_letters`.
        attempts_max: number of attempts.
    """
    marks = zip(
        *(letters[name].to_pylist() for name in ("replay_of", "replay_origin")),
        letters["attempt"].to_pylist(),
        strict=True,
    )
    note = f"{attempts_max} replays failed"
    return [
        Action(letter, origin, ActionKind.PARKED, attempt, note=note)
        for letter, origin, attempt in marks
        if letter is not None and attempt >= attempts_max
    ]


def failed(replayed: Sequence[Replayed], rejected: pa.Table) -> list[Action]:
    """Return which replays the table has refused although they are events.

    Args:
        replayed: events of the commit.
        rejected: dead letters of the events that the table has refused.
    """
    if not (replayed and rejected.num_rows):
        return []
    columns = (rejected[name].to_pylist() for name in PLACE)
    places = set(zip(*columns, strict=True))
    return [
        Action(*one.mark[:2], ActionKind.FAILED, one.mark.attempt)
        for one in replayed
        if (one.partition, one.offset) in places
    ]
