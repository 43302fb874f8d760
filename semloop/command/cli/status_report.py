"""What `status` and `health` print: one object with `kafka`, `lake` and `flows`.

Neither starts, makes or changes anything, and both work when nothing runs. Addresses
and paths are shown, options and keys never.
"""

import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semloop import layout
from semloop.command.stack.state import RUNNING, TAKEN_OVER, LocalFolder, Stack
from semloop.command.stack.supervisor import FLOWS
from semloop.delta.snapshot import read_snapshot
from semloop.errors import BrokerError, BrokerUnavailable, SemLoopError
from semloop.kafka.clients import address, listens
from semloop.local_stack import LOCAL_FOLDER
from semloop.progress.backlog import Backlog, Missing
from semloop.progress.positions import Position
from semloop.settings import Settings
from semloop.storage.location import Storage
from semloop.tables import TABLES

if TYPE_CHECKING:
    from semloop.delta.streams import StreamId
    from semloop.kafka.topic import Topic

NOT_OURS = "not run by `up`"
UNSUPERVISED = "left over by a crash"


def status(settings: Settings) -> dict[str, Any]:
    """How everything stands."""
    stack = _stack(settings)
    runs = _runs(settings)
    if stack is not None:
        settings = stack.settings(settings)
    reachable, topic, refusal = _ask(settings)
    tables, problem = _tables(settings)
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
            name: _flow_state(name, stack, runs=runs) | progress[name] for name in FLOWS
        },
    }


def health(settings: Settings) -> dict[str, Any]:
    """Whether everything is well, and what to do where it is not."""
    stack = _stack(settings)
    runs = _runs(settings)
    if stack is not None:
        settings = stack.settings(settings)
    parts = {
        "kafka": _check_kafka(settings),
        "lake": _check_lake(settings),
        "flows": [_check_flow(settings, name, stack, runs=runs) for name in FLOWS],
    }
    found: dict[str, Any] = {
        part: {"ok": all(check["ok"] for check in checks), "checks": checks}
        for part, checks in parts.items()
    }
    return {"ok": all(found[part]["ok"] for part in parts), **found}


def _runs(settings: Settings) -> bool:
    return not settings.on_s3 and LocalFolder.of(settings).is_locked()


def _stack(settings: Settings) -> Stack | None:
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


def _tables(settings: Settings) -> tuple[dict[str, Any], SemLoopError | None]:
    """The tables as far as they can be read, and why no further."""
    found: dict[str, Any] = {}
    try:
        storage = Storage.of(settings)
        layout.check(storage)
        for name in TABLES:
            if snapshot := read_snapshot(storage, name):
                found[name] = {
                    "rows": snapshot.row_count,
                    "version": snapshot.version,
                    "files": len(snapshot.files),
                    "bytes": sum(file.size_bytes for file in snapshot.files.values()),
                }
    except SemLoopError as error:
        return found, error
    return found, None


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
        return {name: _flow_progress({}, None) for name in FLOWS}
    found = {name: positions_of(storage, name, *named) for name in FLOWS}
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
    if left.nothing:
        return 0.0
    oldest = [b.oldest_ms for b in left.backlogs if b.oldest_ms is not None]
    return max(0.0, time.time() - min(oldest) / 1000) if oldest else None


def _time(ms: int | None) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def _check(check: str, todo: str = "") -> dict[str, Any]:
    return {"check": check, "ok": not todo, "todo": todo}


def _check_kafka(settings: Settings) -> list[dict[str, Any]]:
    from semloop.errors import TopicMissing
    from semloop.kafka.topic import TopicAdmin

    where = address(settings)
    start = "Start one with `semloop up`, or set SEMLOOP_KAFKA to yours."
    if not listens(where):
        return [_check(f"broker {where} answers", start)]
    try:
        topic = TopicAdmin(settings).describe()
    except BrokerUnavailable:
        return [_check(f"broker {where} answers", start)]
    except TopicMissing as error:
        return [
            _check(f"broker {where} answers"),
            _check(f"topic {settings.topic!r} exists", error.todo),
        ]
    except BrokerError as error:
        todo = f"{error.what} {error.todo}"
        return [_check(f"broker {where} answers"), _check("it accepts us", todo)]
    what = f"topic {topic.name!r} exists, with {topic.partitions} partitions"
    return [_check(f"broker {where} answers"), _check(what)]


def _check_lake(settings: Settings) -> list[dict[str, Any]]:
    lake = settings.lake
    if not settings.on_s3 and not Path(lake).is_dir():
        todo = "Make one with `semloop up`, or set SEMLOOP_LAKE."
        return [_check(f"lake {lake} exists", todo)]
    _, problem = _tables(settings)
    todo = f"{problem.what} {problem.todo}" if problem else ""
    checks = [_check(f"lake {lake} can be read", todo)]
    if not settings.on_s3:
        writable = os.access(lake, os.W_OK | os.X_OK)
        todo = "" if writable else f"Give this user the right to write {lake}."
        checks.append(_check(f"lake {lake} can be written", todo))
    return checks


def _check_flow(
    settings: Settings, name: str, stack: Stack | None, *, runs: bool
) -> dict[str, Any]:
    flow = stack.flows.get(name) if stack else None
    if flow is None:
        return _check(f"flow {name}: {NOT_OURS}")
    if not runs:
        todo = "Its supervisor is gone. Run `semloop up`, or `semloop down`."
        return _check(f"flow {name} runs", todo)
    if flow.state == RUNNING and not flow.is_shaky(time.time()):
        return _check(f"flow {name} runs")
    if flow.state == TAKEN_OVER:
        todo = "A newer copy took its tables over; `down`, then `up`, takes them back."
        return _check(f"flow {name} runs", todo)
    log = Path(settings.lake, LOCAL_FOLDER, f"{name}.log")
    todo = f"It died again and again, the last time with {flow.exit_code}; see {log}."
    return _check(f"flow {name} runs", todo)
