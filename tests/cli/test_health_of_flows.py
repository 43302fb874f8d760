"""`health` sees flows that hang, are behind or were not run, and a disk nearly full."""

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from semloop import layout
from semloop.boot_clock import Moment
from semloop.command.cli import health_report, status_report
from semloop.command.doctor.disk import FreeSpace
from semloop.command.health import Check, Status
from semloop.command.health.flows import (
    Supervised,
    flow_checks,
    index_check,
    maintenance_checks,
)
from semloop.errors import LakeError
from semloop.progress.activity import Activity, file_name, note_stop
from semloop.settings import DEFAULT_TOPIC, load
from semloop.storage.location import Storage
from sinks.activity_file import ActivityFile
from tests.cli.helpers import Semloop, Writer, named
from tests.doctor.leftover_checks import age
from tests.support.builders import NOW, an_event, decoded_rows, keyed

TICK = decoded_rows([], [], {})
GIB = 2**30


def checks_of(code: str) -> list[Check]:
    return [check for check in health_report.run_checks(load()) if check.code == code]


def status_of(code: str) -> Status:
    (check,) = checks_of(code)
    return check.status


def show(flow: str, age_s: float, *, ended: bool = False) -> Storage:
    """Write a sign of life of now, of a flow that was last level `age_s` ago."""
    storage, now_ms = Storage.of(load()), time.time_ns() // 1_000_000
    caught_up_ms = now_ms - int(age_s * 1_000)
    at_ms = caught_up_ms if ended else now_ms
    activity = Activity(at_ms, caught_up_ms, ["topic-1/0"], ended)
    storage.replace(file_name(flow, 0), msgspec.json.encode(activity))
    return storage


@pytest.fixture
def lake(semloop: Semloop) -> Path:
    Writer()
    return Path(load().lake)


def test_a_flow_that_finishes_no_item_fails_until_it_does(semloop: Semloop) -> None:
    writer = Writer()
    writer.now -= timedelta(minutes=1)
    writer.loop.add(TICK)
    (check,) = checks_of("flow.alive")
    assert check.status is Status.FAIL
    assert "flow archive showed its last sign of life 1 min" in check.what
    assert "semloop run archive" in check.todo
    code, out, _ = semloop.run("health", "--ready")
    assert (code, "FAIL  flow archive" in out) == (1, True)

    writer.now += timedelta(minutes=1)
    writer.loop.add(TICK)
    assert status_of("flow.alive") is Status.OK


@pytest.mark.parametrize(
    ("silent_s", "code"), [(120, 0), (700, 1)], ids=["a slow batch", "it hangs"]
)
def test_the_probe_for_restarts_waits_for_a_slow_batch(
    silent_s: int, code: int, semloop: Semloop
) -> None:
    writer = Writer()
    writer.now -= timedelta(seconds=silent_s)
    writer.loop.add(TICK)
    assert status_of("flow.alive") is Status.FAIL
    assert semloop.run("health", "--live")[0] == code


def test_a_flow_that_was_stopped_a_day_ago_is_a_note(
    lake: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    show("memory", 90_000, ended=True)
    path = lake / file_name("memory", 0)
    stopped = msgspec.json.decode(path.read_bytes(), type=Activity)
    stopped.ended = False
    path.write_bytes(msgspec.json.encode(stopped))
    (_, memory) = checks_of("flow.alive")
    assert memory.status is Status.NOTE
    assert "To forget it: `semloop doctor --fix`" in memory.todo
    age(path)
    monkeypatch.setenv("SEMLOOP_SPOOL", "off")
    semloop.run("doctor", "--fix")
    assert all("memory" not in check.what for check in checks_of("flow.alive"))


def test_a_clock_that_was_ahead_hides_no_silent_flow(lake: Path) -> None:
    show("index", -7_200, ended=True)
    show("memory", -7_200, ended=True)
    path = lake / file_name("memory", 0)
    path.write_bytes(path.read_bytes().replace(b"true", b"false"))
    (_, memory) = checks_of("flow.alive")
    assert (memory.status, "in the future" in memory.what) == (Status.WARN, True)
    assert status_of("flow.index") is Status.WARN


def test_an_error_hides_only_the_checks_of_its_own_part(
    lake: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[Check]:
        msg = "The file is bad."
        raise LakeError(msg, "Remove it.")

    monkeypatch.setattr(health_report, "_check_life", refuse)
    checks = health_report.run_checks(load())
    (unread,) = [check for check in checks if check.status is Status.FAIL][-1:]
    assert (unread.code, unread.todo) == ("lake.read", "Remove it.")
    assert "The file is bad." in unread.what
    assert "agent.refused" in {check.code for check in checks}

    monkeypatch.setattr(status_report, "recent_records", refuse)
    assert "The file is bad." in semloop("status")


def test_a_record_in_work_is_no_sign_of_life(semloop: Semloop) -> None:
    """Only an item that reaches the sink counts."""
    writer = Writer()
    writer.loop.add(TICK)
    before = Path(load().lake, file_name("archive", 0)).read_bytes()
    writer.now += timedelta(minutes=1)
    assert Path(load().lake, file_name("archive", 0)).read_bytes() == before
    writer.loop.add(TICK)
    assert Path(load().lake, file_name("archive", 0)).read_bytes() != before


def test_a_flow_whose_input_ended_passes(semloop: Semloop) -> None:
    writer = Writer()
    writer.now -= timedelta(hours=1)
    writer.write(an_event())
    assert status_of("flow.alive") is Status.OK


def test_a_flow_that_was_stopped_passes_until_it_starts_again(
    semloop: Semloop,
) -> None:
    writer = Writer()
    writer.now -= timedelta(hours=1)
    writer.loop.add(TICK)
    assert status_of("flow.alive") is Status.FAIL
    note_stop(writer.storage, "archive")
    assert status_of("flow.alive") is Status.OK
    writer.now += timedelta(minutes=1)
    writer.loop.add(TICK)
    assert status_of("flow.alive") is Status.FAIL


def test_a_supervised_flow_has_time_to_start_and_then_must_live(lake: Path) -> None:
    storage = Storage.of(load())
    (young,) = flow_checks(
        storage, "memory", Supervised(0.0, "memory.log"), topic=DEFAULT_TOPIC
    )
    assert young.status is Status.OK
    (silent,) = flow_checks(
        storage, "memory", Supervised(60.0, "memory.log"), topic=DEFAULT_TOPIC
    )
    assert silent.status is Status.FAIL
    assert "Read memory.log" in silent.todo


def test_a_clock_that_was_set_back_excuses_no_flow_that_hangs(lake: Path) -> None:
    """Its sign of life is from before; its process says for how long it has run."""
    storage = show("memory", -86_400, ended=True)
    for age_s, status in ((1.0, Status.OK), (60.0, Status.FAIL), (None, Status.WARN)):
        supervised = Supervised(age_s, "memory.log")
        checks = flow_checks(storage, "memory", supervised, topic=DEFAULT_TOPIC)
        assert next(checks).status is status
    show("memory", 0, ended=True)
    hours = Supervised(86_400.0, "memory.log")
    (alive, _) = flow_checks(storage, "memory", hours, topic=DEFAULT_TOPIC)
    assert alive.status is Status.OK


@pytest.mark.parametrize(
    ("age_s", "status"),
    [(2, Status.OK), (120, Status.WARN), (400, Status.FAIL)],
    ids=["level", "behind", "far behind"],
)
def test_memory_that_falls_behind_warns_then_fails(
    age_s: float, status: Status, lake: Path
) -> None:
    show("memory", age_s)
    (check,) = checks_of("flow.behind")
    assert check.status is status
    show("memory", 0)
    assert status_of("flow.behind") is Status.OK


def test_an_overdue_index_warns_until_it_is_maintained(lake: Path) -> None:
    settings = load()
    storage = show("index", 1_000, ended=True)
    check = index_check(storage, settings, None)
    assert check is not None
    assert (check.status, "semloop maintain index" in check.todo) == (Status.WARN, True)
    show("index", 0, ended=True)
    assert status_of("flow.index") is Status.OK


def test_an_index_whose_runs_only_start_is_overdue(lake: Path) -> None:
    storage = show("index", 1_000, ended=True)
    now = Moment.now()
    ActivityFile(storage, "index", 0, DEFAULT_TOPIC).start_run(now)
    check = index_check(storage, load(), None)
    assert check is not None
    assert check.status is Status.WARN
    assert "has not ended" in check.what


def test_an_index_without_a_schedule_is_not_overdue(lake: Path) -> None:
    assert index_check(Storage.of(load()), load(), None) is None


@pytest.mark.parametrize("flow", ["compact", "vacuum", "retain"])
def test_maintenance_that_does_not_end_any_more_warns(
    flow: str, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_RETENTION", '{"memories": 9}')
    day_s = 86_400
    show(flow, 4 * day_s, ended=True)
    (check,) = checks_of("flow.maintenance")
    assert (check.status, flow in check.todo) == (Status.WARN, True)
    (check,) = maintenance_checks(Storage.of(load()), load(), supervisor_s=5.0)
    assert check.status is Status.OK
    show(flow, 0, ended=True)
    assert status_of("flow.maintenance") is Status.OK
    monkeypatch.setenv(f"SEMLOOP_{flow.upper()}_EVERY_S", "0")
    assert list(checks_of("flow.maintenance")) == []


@pytest.mark.usefixtures("log_setup_restored")
def test_maintenance_shows_when_it_ran(lake: Path, semloop: Semloop) -> None:
    assert list(checks_of("flow.maintenance")) == []
    layout.bind(Storage.of(load()))
    for flow in ("compact", "vacuum"):
        assert semloop.run("maintain", flow)[0] == 0
    assert [c.status for c in checks_of("flow.maintenance")] == [Status.OK] * 2
    assert semloop.run("maintain", "compact")[0] == 0
    files = sorted(path.name for path in (lake / "_activity").iterdir())
    assert semloop.run("maintain", "vacuum", "--dry-run")[0] == 0
    assert sorted(path.name for path in (lake / "_activity").iterdir()) == files


def test_a_clock_that_is_ahead_warns_before_its_events_are_refused(
    semloop: Semloop,
) -> None:
    writer = Writer()
    at = NOW + timedelta(minutes=2)
    writer.write(an_event(agent="laptop", timestamp=at.isoformat()))
    (check,) = checks_of("agent.clock")
    assert check.status is Status.WARN
    assert "agent 'laptop': its events are dated up to 2 min later" in check.what

    early = Writer()
    early.write(an_event(agent="desktop", timestamp=NOW.isoformat()))
    assert [c.figures["agent"] for c in checks_of("agent.clock")] == ["laptop"]


def test_a_clock_that_is_behind_warns(semloop: Semloop) -> None:
    """`archive` had read everything 10 minutes after what comes then was stamped."""
    writer = Writer()
    now_ms = int(NOW.timestamp() * 1_000)
    progress = replace(TICK.progress, caught_up_ms=keyed({0: now_ms}))
    writer.loop.add(replace(TICK, progress=progress))
    late = NOW - timedelta(minutes=10)
    at = late.isoformat()
    writer.write(*named("laptop", "laptop", "desktop", timestamp=at), kafka_ts=late)
    writer.write(*named("desktop"), kafka_ts=NOW)
    (check,) = checks_of("agent.clock")
    assert (check.status, check.figures["agent"]) == (Status.WARN, "laptop")
    assert "2 of 2 records came up to 10 min after" in check.what


def test_a_disk_that_is_nearly_full_warns_then_fails_until_there_is_space(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for free in (GIB // 2, GIB // 20, 50 * GIB):
        space = FreeSpace(free, 100 * GIB, 10**6, 10**7)
        monkeypatch.setattr(health_report, "free_space", lambda folder, s=space: s)
        found.append(status_of("lake.disk"))
    assert found == [Status.WARN, Status.FAIL, Status.OK]
