"""What `status` prints: one object with `kafka`, `lake` and `flows`.

It starts, makes and changes nothing, and works when nothing runs. Addresses and paths
are shown, options and keys never.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from semloop.command.cli.table_figures import tables_of
from semloop.command.stack.state import LocalFolder, Stack
from semloop.errors import BrokerError, BrokerUnavailable
from semloop.flow_registry import STREAMING
from semloop.kafka.clients import address, listens
from semloop.progress.backlog import Backlog, Missing
from semloop.progress.positions import Position
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.delta.streams import StreamId
    from semloop.kafka.topic import Topic

NOT_OURS = "not run by `up`"
UNSUPERVISED = "left over by a crash"


def status(settings: Settings) -> dict[str, Any]:
    """How everything stands."""
    stack = stack_of(settings)
    runs = runs_here(settings)
    if stack is not None:
        settings = stack.settings(settings)
    reachable, topic, refusal = _ask(settings)
    tables, problem = tables_of(settings)
    progress = _progress(settings, topic, readable=problem is None)
    return {
        "kafka": {
            "address": address(settings),
            "embedded": bool(stack and stack.embedded),
            "reachable": reachable,
            "refusal": refusal,
            "topic": settings.topic,
            "partitions": topic.partitions if topic else None,
        },
        "lake": {
            "path": settings.lake,
            "readable": problem is None,
            "problem": None if problem is None else str(problem),
            "tables": tables,
        },
        "flows": {
            name: _flow_state(name, stack, runs=runs) | progress[name]
            for name in STREAMING
        },
    }


def runs_here(settings: Settings) -> bool:
    """Whether a stack of `semloop up` runs for the lake."""
    return not settings.on_s3 and LocalFolder.of(settings).is_locked()


def stack_of(settings: Settings) -> Stack | None:
    """The running stack, or the remains of one; never one that is long gone."""
    if settings.on_s3:
        return None
    folder = LocalFolder.of(settings)
    return folder.read() if folder.is_locked() or folder.leftovers() else None


def _ask(settings: Settings) -> "tuple[bool, Topic | None, str | None]":
    """Whether the broker answers, the topic if there is one, and what is refused."""
    from semloop.errors import TopicMissing
    from semloop.kafka.topic import TopicAdmin

    # Refused connections are told at once; a client would try for seconds.
    if not listens(address(settings)):
        return False, None, None
    try:
        return True, TopicAdmin(settings).describe(), None
    except BrokerUnavailable:
        return False, None, None
    except TopicMissing:
        return True, None, None
    except BrokerError as error:
        return True, None, f"{error.what} {error.todo}"


def _flow_state(name: str, stack: Stack | None, *, runs: bool) -> dict[str, Any]:
    flow = stack.flows.get(name) if stack else None
    if flow is None:
        return {"state": NOT_OURS, "pid": None, "restarts": 0, "exit_code": None}
    state = flow.state if runs else UNSUPERVISED
    return {
        "state": state,
        "pid": flow.pid,
        "restarts": flow.restarts,
        "exit_code": flow.exit_code,
    }


def _progress(
    settings: Settings, topic: "Topic | None", *, readable: bool
) -> dict[str, dict[str, Any]]:
    """Of each flow, positions and what lies behind them, as far as anyone can tell."""
    from semloop.progress.backlog import missing
    from semloop.progress.positions import newest_stream, positions_of, stream_of

    named: tuple[StreamId, int] | None = None
    left: Missing | None = None
    storage = Storage.of(settings) if readable else None
    if storage is not None:
        named = (
            newest_stream(storage, settings.topic)
            if topic is None
            else (stream_of(topic), topic.partitions)
        )
    if storage is None or named is None:
        return {name: _flow_progress({}, None) for name in STREAMING}
    found = {name: positions_of(storage, name, *named) for name in STREAMING}
    archived = found[named[0].flow]
    if topic is not None:
        # Who may see a topic may not always read it.
        with suppress(BrokerError):
            left = missing(settings, archived)
    return {
        name: _flow_progress(at, left if at is archived else _behind(at, archived))
        for name, at in found.items()
    }


def _behind(found: dict[int, Position], archived: dict[int, Position]) -> Missing:
    """What a flow that reads the lake has not consumed of it; all is countable."""
    return Missing(
        [
            Backlog(
                partition=p,
                next_offset=at.last_offset + 1,
                records=max(0, archived[p].last_offset - at.last_offset),
                end=archived[p].last_offset + 1,
            )
            for p, at in found.items()
        ]
    )


def _flow_progress(found: dict[int, Position], left: Missing | None) -> dict[str, Any]:
    by_partition = {b.partition: b for b in left.backlogs} if left else {}
    return {
        "lag": left.records if left else None,
        "at_least": left.at_least if left else False,
        "freshness_s": _freshness_s(left) if left else None,
        "partitions": [
            {
                "partition": partition,
                "last_offset": at.last_offset,
                "end": by_partition[partition].end if left else None,
                "lag": by_partition[partition].records if left else None,
                "caught_up_at": _time(at.caught_up_ms),
            }
            for partition, at in found.items()
        ],
    }


def _freshness_s(left: Missing) -> float | None:
    """Age of the oldest record that is not in the lake; 0 if nothing is missing."""
    if left.is_empty:
        return 0.0
    oldest = [b.oldest_ms for b in left.backlogs if b.oldest_ms is not None]
    return max(0.0, time.time() - min(oldest) / 1000) if oldest else None


def _time(ms: int | None) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat()
