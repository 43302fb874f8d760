"""Report of `semloop health`: checks of broker, lake and flows.

It starts, creates and changes nothing, and works while no process runs.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semloop.command.cli.status_report import (
    NOT_OURS,
    find_stack,
    key_lines,
    stack_runs,
)
from semloop.command.cli.table_stats import table_stats
from semloop.command.doctor import State
from semloop.command.doctor.disk import free_space, judged
from semloop.command.health import Check, Status, failed, gravest, passed
from semloop.command.health.agents import agent_checks, recent_records
from semloop.command.health.broker import broker_checks, own_broker
from semloop.command.health.codes import CODES
from semloop.command.health.flows import (
    Supervised,
    flow_checks,
    index_check,
    maintenance_checks,
)
from semloop.command.health.freshness import freshness_check
from semloop.command.stack.state import RUNNING, STOPPED, FlowState, LocalFolder, Stack
from semloop.errors import BrokerError, BrokerUnavailable, SemLoopError
from semloop.flow_registry import ARCHIVE, MEMORY, STREAMING
from semloop.kafka.clients import address, has_broker, listens
from semloop.progress.activity import SILENT_S, files_of, live_silent_s, read_flow
from semloop.progress.positions import newest_stream, positions
from semloop.settings import LOCAL_FOLDER, Settings
from semloop.storage.location import Storage
from semloop.storage.redaction_key import key_problem
from semloop.tables import DELTA_TABLES

if TYPE_CHECKING:
    from semloop.kafka.topic import Topic

PARTS = ("kafka", "lake", "flows", "agents")
# If one of these checks fails, the others have nothing to read.
UNREADABLE = ("lake.exists", "lake.read")


def health(settings: Settings) -> dict[str, Any]:
    """Return the result of all checks, with what to do about failed ones."""
    return report(run_checks(settings))


def run_checks(settings: Settings) -> list[Check]:
    """Run all checks, in the order of their parts."""
    stack = find_stack(settings)
    runs = stack_runs(settings)
    if stack is not None:
        settings = stack.settings(settings)
    kafka, topic = _check_kafka(settings)
    if stack is not None and stack.embedded and runs:
        if other := own_broker(stack, topic):
            # The rest would be about another server, or another topic.
            kafka, topic = [other], None
        kafka += broker_checks(LocalFolder.of(settings).path, stack.broker())
    checks = [*kafka, *_check_lake(settings)]
    checks += [_check_flow(settings, name, stack, runs=runs) for name in STREAMING]
    if any(c.code in UNREADABLE and c.status is Status.FAIL for c in checks):
        return checks
    storage = Storage.of(settings)
    checks += _as_far_as_readable(
        lambda: _check_life(settings, storage, stack if runs else None, SILENT_S),
        lambda: [_freshness(settings, storage, topic)] if topic else [],
        lambda: _notes(settings, storage),
        lambda: agent_checks(recent_records(storage, settings.topic)),
    )
    return checks


def run_live_checks(settings: Settings) -> list[Check]:
    """Run the checks that ask no broker: an outage of it is no reason to restart.

    None of a flow if the lake cannot be read: no restart repairs that, and a flow ends
    by itself if its storage does not answer for long.
    """
    stack = find_stack(settings) if stack_runs(settings) else None
    silent_s = live_silent_s(settings)
    return _as_far_as_readable(
        lambda: _check_life(settings, Storage.of(settings), stack, silent_s)
    )


def _as_far_as_readable(*groups: Callable[[], Sequence[Check]]) -> list[Check]:
    """Return the checks of all groups; an error hides only those of its own group."""
    checks: list[Check] = []
    for group in groups:
        try:
            checks += group()
        except SemLoopError as error:
            unread = failed(
                "lake.read", f"lake cannot be read: {error.what}", error.todo
            )
            # The same file may be read for several groups.
            checks += [unread] if unread not in checks else []
    return checks


def _freshness(settings: Settings, storage: Storage, topic: "Topic") -> Check:
    try:
        return freshness_check(settings, storage, topic)
    except BrokerError as error:
        # A user with permission to describe a topic may lack permission to read it.
        what = f"unknown how long records wait: {error.what}"
        return Check("flow.fresh", Status.NOTE, what, error.todo)


def report(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the checks by part, with whether each part, and all of it, passes."""
    results: dict[str, Any] = {}
    for part in PARTS:
        own = [check for check in checks if CODES[check.code].part == part]
        results[part] = {
            "ok": gravest(own) is not Status.FAIL,
            "checks": [_as_dict(check) for check in own],
        }
    return {"ok": all(results[part]["ok"] for part in PARTS), **results}


def _as_dict(check: Check) -> dict[str, Any]:
    what, is_ok = check.what, check.status is not Status.FAIL
    return {**asdict(check), "check": what, "ok": is_ok}


def _check(code: str, what: str, todo: str = "") -> Check:
    return failed(code, what, todo) if todo else passed(code, what)


def _check_kafka(settings: Settings) -> "tuple[list[Check], Topic | None]":
    """Return the checks of the broker, and the topic if it exists."""
    from semloop.errors import TopicMissing
    from semloop.kafka.topic import TopicAdmin

    start = "Start one with `semloop up`, or set SEMLOOP_KAFKA to your broker."
    if not has_broker(settings):
        # Its usual address may be that of another lake's stack.
        what = "a broker is set, or a stack runs for the lake"
        return [_check("kafka.broker", what, start)], None
    where = address(settings)
    if not listens(where):
        return [_check("kafka.broker", f"broker {where} answers", start)], None
    answers = _check("kafka.broker", f"broker {where} answers")
    try:
        topic = TopicAdmin(settings).describe()
    except BrokerUnavailable:
        return [_check("kafka.broker", f"broker {where} answers", start)], None
    except TopicMissing as error:
        missing = f"topic {settings.topic!r} exists"
        return [answers, _check("kafka.topic", missing, error.todo)], None
    except BrokerError as error:
        todo = f"{error.what} {error.todo}"
        return [answers, _check("kafka.login", "broker accepts requests", todo)], None
    what = f"topic {topic.name!r} exists, with {topic.partitions} partitions"
    return [answers, _check("kafka.topic", what)], topic


def _check_lake(settings: Settings) -> list[Check]:
    lake = settings.lake
    if not settings.on_s3 and not Path(lake).is_dir():
        todo = "Create one with `semloop up`, or set SEMLOOP_LAKE."
        return [_check("lake.exists", f"lake {lake} exists", todo)]
    _, problem = table_stats(settings, DELTA_TABLES)
    todo = f"{problem.what} {problem.todo}" if problem else ""
    checks = [_check("lake.read", f"lake {lake} can be read", todo)]
    if not settings.on_s3:
        writable = os.access(lake, os.W_OK | os.X_OK)
        todo = "" if writable else f"Give this user write permission for {lake}."
        checks.append(_check("lake.write", f"lake {lake} can be written", todo))
        checks.append(_check_disk(Path(lake)))
    return checks


def _check_life(
    settings: Settings, storage: Storage, stack: Stack | None, silent_s: float
) -> list[Check]:
    """Return the checks of the flows that run, here or elsewhere."""
    checks: list[Check] = []
    for name in STREAMING:
        state = stack.flows.get(name) if stack else None
        supervised = None
        if state is not None:
            # Whether it runs at all, another check says.
            if state.state != RUNNING:
                continue
            log = str(LocalFolder.of(settings).log(name))
            supervised = Supervised(_age_s(state, stack), log)
        checks += flow_checks(storage, name, supervised, silent_s, topic=settings.topic)
    supervisor_s = stack.supervisor().age_s() if stack else None
    runs_index = stack is not None and MEMORY.name in stack.flows
    index = index_check(storage, settings, supervisor_s if runs_index else None)
    checks += maintenance_checks(storage, settings, supervisor_s)
    return [*checks, index] if index else checks


def _check_disk(folder: Path) -> Check:
    found = judged("lake", folder, free_space(folder))
    status = {State.WARN: Status.WARN, State.FAIL: Status.FAIL}
    return Check(
        "lake.disk", status.get(found.state, Status.OK), found.found, found.todo
    )


def _notes(settings: Settings, storage: Storage) -> list[Check]:
    """Return what is worth knowing about the keys of the producers; none is a fault."""
    stream = newest_stream(storage, settings.topic)
    found = positions(storage, *stream).values() if stream else ()
    misrouted = sum(at.misrouted for at in found)
    repeated = sum(at.repeated for at in found)
    figures = {"misrouted": misrouted, "repeated": repeated}
    return [
        Check("flow.keys", Status.NOTE, "keys of the producers", line, figures)
        for line in key_lines(misrouted, repeated)
    ]


def _check_flow(
    settings: Settings, name: str, stack: Stack | None, *, runs: bool
) -> Check:
    flow = stack.flows.get(name) if stack else None
    if flow is None:
        return _check("flow.runs", f"flow {name}: {NOT_OURS}")
    if not runs:
        todo = "Its supervisor died. Run `semloop up` or `semloop down`."
        return _check("flow.runs", f"flow {name} runs", todo)
    if flow.state == RUNNING and not flow.is_unstable(_age_s(flow, stack)):
        return _check("flow.runs", f"flow {name} runs")
    if flow.state == STOPPED:
        return _check("flow.runs", f"flow {name} runs", _why_stopped(settings, name))
    log = Path(settings.lake, LOCAL_FOLDER, f"{name}.log")
    todo = f"It keeps dying, last with exit code {flow.exit_code}; see {log}."
    return _check("flow.runs", f"flow {name} runs", todo)


def _age_s(flow: FlowState, stack: Stack | None) -> float | None:
    """Return for how long the process of a flow has run, if it does."""
    process = flow.process(stack.lake_id if stack else "")
    return process.age_s() if process else None


def _why_stopped(settings: Settings, name: str) -> str:
    """Return what to do about a flow that ended with exit code 3."""
    problem = None
    with suppress(SemLoopError):  # the check of the lake reports it
        storage = Storage.of(settings)
        for activity in read_flow(storage, files_of(name, settings.topic)):
            if activity.stopped:
                return " ".join(activity.stopped)
        if name == ARCHIVE.name:
            problem = key_problem(settings, storage)
    if problem is not None:
        return f"{problem.what} {problem.todo}"
    return "A newer copy took over its tables; `down`, then `up`, takes them back."
