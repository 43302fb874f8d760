"""Report of `semloop health`: checks of broker, lake and flows.

It starts, creates and changes nothing, and works while no process runs.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from semloop.command.cli.status_report import (
    NOT_OURS,
    find_stack,
    key_lines,
    stack_runs,
)
from semloop.command.cli.table_stats import table_stats
from semloop.command.stack.state import RUNNING, STOPPED, Stack
from semloop.errors import BrokerError, BrokerUnavailable, SemLoopError
from semloop.flow_registry import ARCHIVE, STREAMING
from semloop.kafka.clients import address, listens
from semloop.progress.positions import newest_stream, positions
from semloop.settings import LOCAL_FOLDER, Settings
from semloop.storage.location import Storage
from semloop.storage.redaction_key import key_problem
from semloop.tables import DELTA_TABLES


def health(settings: Settings) -> dict[str, Any]:
    """Return the result of all checks, with what to do about failed ones."""
    stack = find_stack(settings)
    runs = stack_runs(settings)
    if stack is not None:
        settings = stack.settings(settings)
    parts = {
        "kafka": _check_kafka(settings),
        "lake": _check_lake(settings),
        "flows": [_check_flow(settings, name, stack, runs=runs) for name in STREAMING],
    }
    parts["flows"] += _notes(settings)
    results: dict[str, Any] = {
        part: {"ok": all(check["ok"] for check in checks), "checks": checks}
        for part, checks in parts.items()
    }
    return {"ok": all(results[part]["ok"] for part in parts), **results}


def _check(check: str, todo: str = "") -> dict[str, Any]:
    return {"check": check, "ok": not todo, "todo": todo}


def _check_kafka(settings: Settings) -> list[dict[str, Any]]:
    from semloop.errors import TopicMissing
    from semloop.kafka.topic import TopicAdmin

    where = address(settings)
    start = "Start one with `semloop up`, or set SEMLOOP_KAFKA to your broker."
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
        return [
            _check(f"broker {where} answers"),
            _check("broker accepts requests", todo),
        ]
    what = f"topic {topic.name!r} exists, with {topic.partitions} partitions"
    return [_check(f"broker {where} answers"), _check(what)]


def _check_lake(settings: Settings) -> list[dict[str, Any]]:
    lake = settings.lake
    if not settings.on_s3 and not Path(lake).is_dir():
        todo = "Create one with `semloop up`, or set SEMLOOP_LAKE."
        return [_check(f"lake {lake} exists", todo)]
    _, problem = table_stats(settings, DELTA_TABLES)
    todo = f"{problem.what} {problem.todo}" if problem else ""
    checks = [_check(f"lake {lake} can be read", todo)]
    if not settings.on_s3:
        writable = os.access(lake, os.W_OK | os.X_OK)
        todo = "" if writable else f"Give this user write permission for {lake}."
        checks.append(_check(f"lake {lake} can be written", todo))
    return checks


def _notes(settings: Settings) -> list[dict[str, Any]]:
    """Return what is worth knowing about the keys of the producers; none is a fault."""
    try:
        storage = Storage.of(settings)
        stream = newest_stream(storage, settings.topic)
        found = positions(storage, *stream).values() if stream else ()
    except SemLoopError:  # the check of the lake reports it
        return []
    misrouted = sum(at.misrouted for at in found)
    repeated = sum(at.repeated for at in found)
    notes = key_lines(misrouted, repeated)
    return [{"check": "keys of the producers", "ok": True, "todo": n} for n in notes]


def _check_flow(
    settings: Settings, name: str, stack: Stack | None, *, runs: bool
) -> dict[str, Any]:
    flow = stack.flows.get(name) if stack else None
    if flow is None:
        return _check(f"flow {name}: {NOT_OURS}")
    if not runs:
        todo = "Its supervisor died. Run `semloop up` or `semloop down`."
        return _check(f"flow {name} runs", todo)
    if flow.state == RUNNING and not flow.is_unstable(time.time()):
        return _check(f"flow {name} runs")
    if flow.state == STOPPED:
        return _check(f"flow {name} runs", _why_stopped(settings, name))
    log = Path(settings.lake, LOCAL_FOLDER, f"{name}.log")
    todo = f"It keeps dying, last with exit code {flow.exit_code}; see {log}."
    return _check(f"flow {name} runs", todo)


def _why_stopped(settings: Settings, name: str) -> str:
    """Return what to do about a flow that ended with exit code 3."""
    problem = None
    if name == ARCHIVE.name:
        with suppress(SemLoopError):  # the check of the lake reports it
            problem = key_problem(settings, Storage.of(settings))
    if problem is not None:
        return f"{problem.what} {problem.todo}"
    return "A newer copy took over its tables; `down`, then `up`, takes them back."
