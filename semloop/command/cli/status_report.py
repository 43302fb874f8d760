"""Report of `semloop status`: one object with `kafka`, `lake`, `flows`, `agents`.

It starts, creates and changes nothing, and works while no process runs. It contains
addresses and paths, never options or keys.
"""

import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from semloop.boot_clock import Moment
from semloop.command.cli.table_stats import table_stats
from semloop.command.health.agents import problems_of, recent_records
from semloop.command.stack.state import LocalFolder, Stack
from semloop.errors import BrokerError, BrokerUnavailable, SemLoopError
from semloop.flow_registry import STREAMING
from semloop.kafka.clients import address, has_broker, listens
from semloop.progress.activity import (
    DUPLICATE,
    MISROUTED,
    files_of,
    read_flow,
    sign_of_life,
)
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
    """Return the state of broker, lake and flows."""
    stack = find_stack(settings)
    runs = stack_runs(settings)
    if stack is not None:
        settings = stack.settings(settings)
    reachable, topic, refusal = _query_broker(settings)
    tables, problem = table_stats(settings)
    progress = _progress(settings, topic, readable=problem is None)
    agents, unread = _agents(settings, readable=problem is None)
    found_problem = problem or unread
    return {
        "kafka": {
            "address": address(settings) if has_broker(settings) else None,
            "embedded": bool(stack and stack.embedded),
            "reachable": reachable,
            "refusal": refusal,
            "topic": settings.topic,
            "partitions": topic.partitions if topic else None,
        },
        "lake": {
            "path": settings.lake,
            "not_running": None if runs or stack else _absence(settings),
            "readable": problem is None,
            "problem": None if found_problem is None else str(found_problem),
            "tables": tables,
        },
        "flows": {
            name: _flow_state(name, stack, runs=runs)
            | progress[name]
            | {"stopped": _stopped(settings, name) if problem is None else None}
            for name in STREAMING
        },
        "agents": agents,
    }


def _absence(settings: Settings) -> str | None:
    """Return that no stack runs, and whose copy the lake is; None without a need."""
    if settings.on_s3:
        return None
    folder = LocalFolder.of(settings)
    if where := folder.origin():
        return f"nothing of this lake runs: {where}"
    return None if settings.kafka else "nothing of this lake runs"


def stack_runs(settings: Settings) -> bool:
    """Return True if a stack of `semloop up` runs for the lake."""
    return not settings.on_s3 and LocalFolder.of(settings).is_locked()


def find_stack(settings: Settings) -> Stack | None:
    """Return the stack that runs, fully or partly; None if no process of it runs."""
    if settings.on_s3:
        return None
    folder = LocalFolder.of(settings)
    if folder.is_locked():
        return folder.read()
    return folder.read() or folder.rebuilt() if folder.orphans() else None


def _agents(
    settings: Settings, *, readable: bool
) -> tuple[list[dict[str, Any]], SemLoopError | None]:
    """Return what became of the records of the last 15 minutes, by agent.

    Also the error if that cannot be read.
    """
    try:
        found = recent_records(Storage.of(settings), settings.topic) if readable else {}
    except SemLoopError as error:
        return [], error
    total = sum(counts.records for counts in found.values())
    rows = [
        {
            "agent": agent or None,
            "records": counts.records,
            "accepted": counts.accepted,
            "refused": counts.refused,
            "duplicates": counts.count(DUPLICATE),
            "misrouted": counts.count(MISROUTED),
            "kinds": {kind: tally.count for kind, tally in counts.tallies.items()},
            "problems": [asdict(check) for check in problems_of(agent, counts, total)],
        }
        for agent, counts in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["refused"], -row["records"])), None


def _query_broker(settings: Settings) -> "tuple[bool, Topic | None, str | None]":
    """Return whether the broker answers, the topic, and the error if it refuses."""
    from semloop.errors import TopicMissing
    from semloop.kafka.topic import TopicAdmin

    # Detects a refused connection immediately; a client would retry for seconds.
    if not has_broker(settings) or not listens(address(settings)):
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


def _stopped(settings: Settings, name: str) -> str | None:
    """Return why a flow stopped itself; None if it did not, or has committed since."""
    try:
        files = files_of(name, settings.topic)
        life = sign_of_life(read_flow(Storage.of(settings), files), Moment.now())
    except SemLoopError:  # `_agents` reads the same files, and reports it
        return None
    return life.stopped[0] if life and life.stopped else None


def _progress(
    settings: Settings, topic: "Topic | None", *, readable: bool
) -> dict[str, dict[str, Any]]:
    """Return positions and lag of each flow, as far as they can be determined."""
    from semloop.progress.backlog import missing
    from semloop.progress.positions import newest_stream, positions_of, stream_of

    stream: tuple[StreamId, int] | None = None
    left: Missing | None = None
    storage = Storage.of(settings) if readable else None
    if storage is not None:
        stream = (
            newest_stream(storage, settings.topic)
            if topic is None
            else (stream_of(topic), topic.partitions)
        )
    if storage is None or stream is None:
        return {name: _flow_progress({}, None) for name in STREAMING}
    found = {name: positions_of(storage, name, *stream) for name in STREAMING}
    archived = found[stream[0].flow]
    if topic is not None:
        # A user with permission to describe a topic may lack permission to read it.
        with suppress(BrokerError):
            left = missing(settings, archived)
    return {
        name: _flow_progress(at, left if at is archived else _behind(at, archived))
        for name, at in found.items()
    }


def _behind(found: dict[int, Position], archived: dict[int, Position]) -> Missing:
    """Return the exact lag of a flow that reads the lake."""
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
        "misrouted": sum(at.misrouted for at in found.values()),
        "repeated": sum(at.repeated for at in found.values()),
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
    """Return the age of the oldest record not in the lake; 0 if none is missing."""
    if left.is_empty:
        return 0.0
    oldest = [b.oldest_ms for b in left.backlogs if b.oldest_ms is not None]
    return max(0.0, time.time() - min(oldest) / 1000) if oldest else None


def _time(ms: int | None) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def key_lines(misrouted: int, repeated: int) -> list[str]:
    """Return what the keys of the producers cause; nothing if they are as expected."""
    lines = []
    if misrouted:
        lines.append(
            f"{misrouted:,} events had another key than their session: set it to"
            " meta.session_id, else sessions lose their order and repeats are stored"
        )
    if repeated:
        lines.append(
            f"{repeated:,} events had an id that another partition had stored, too:"
            " set the keys, or dedupe = lake"
        )
    return lines
