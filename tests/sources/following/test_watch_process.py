"""`semloop watch` as a process: kills, signals, a broker that is away."""

import json
import random
import signal
from pathlib import Path

import pytest

from semloop.settings import Settings
from tests.sources.following.session_files import a_line
from tests.sources.following.watch_rounds import Rounds
from tests.support.in_process import run_flow
from tests.support.processes import check, run, start
from tests.support.services import wait_for

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def _own_spool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SEMLOOP_SPOOL", str(tmp_path / "spool"))


def test_lines_are_stored_once_while_files_change_and_the_watcher_dies(
    settings: Settings, tmp_path: Path
) -> None:
    rounds = Rounds(settings, tmp_path / "sessions", random.Random(1))
    Path(settings.lake).mkdir(exist_ok=True)
    audit = rounds.run(40, kill_every=15)
    assert (audit.lost, audit.twice, audit.unknown) == ([], [], [])
    assert audit.must > 0


@pytest.mark.storm
@pytest.mark.timeout(7_200)
def test_lines_are_stored_once_in_a_thousand_rounds(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.SystemRandom().randrange(10**9)
    rounds = Rounds(settings, tmp_path / "sessions", random.Random(seed))
    Path(settings.lake).mkdir(exist_ok=True)
    audit = rounds.run(1_000, kill_every=25)
    with capsys.disabled():
        print(f"seed {seed}, {dict(rounds.done)}, {audit}")
    assert (audit.lost, audit.twice, audit.unknown) == ([], [], [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_everything_sent(
    settings: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    Path(settings.lake).mkdir(exist_ok=True)
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(a_line("one"))
    process = start(settings, "watch", str(folder))
    assert process.stdout is not None
    wait_for("positions", Path(settings.lake, "_watch/local.json").exists)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "1 file, 1 line, 1 event, 0 dead letters." in out
    run_flow(settings)
    assert "one" in check(settings, "sql", "SELECT text FROM events")


def test_without_a_broker_the_spool_has_the_events(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(a_line("one") + b"{bad\n")
    away = run(settings, "watch", "--once", str(folder), SEMLOOP_KAFKA="127.0.0.1:9")
    assert away.returncode == 0, away.stderr
    assert "Kafka does not have 2 events yet" in away.stdout
    check(settings, "spool", "send", "--from", "127_0_0_1_9-" + settings.topic)
    again = check(settings, "watch", "--once", str(folder))
    assert "1 file, 2 lines, 1 event, 1 dead letter." in again
    run_flow(settings)
    query = (
        "SELECT (SELECT count(*) FROM events) e, (SELECT count(*) FROM dead_letters) d"
    )
    out = check(settings, "sql", "--format", "json", query)
    assert json.loads(out) == [{"e": 1, "d": 1}]


def test_the_default_places_are_asked_for_once(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "home/.claude/projects/p"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(a_line("one"))
    refused = run(settings, "watch", "--once")
    assert refused.returncode == 1
    assert "asks before it reads these files" in refused.stderr
    assert "1 event" in check(settings, "watch", "--once", "--yes")
    again = run(settings, "watch", "--once")
    assert again.returncode == 0
    assert "Found session files" not in again.stdout
    other = run(settings, "watch", "--once", SEMLOOP_TOPIC="another")
    assert other.returncode == 1


def test_an_answer_holds_for_one_folder_of_a_tool(
    settings: Settings, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name / "projects"
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_bytes(a_line(name))
    first = {"CLAUDE_CONFIG_DIR": str(tmp_path / "one")}
    second = {"CLAUDE_CONFIG_DIR": str(tmp_path / "two")}
    agreed = run(settings, "watch", "--once", "--yes", **first)
    assert f"Claude Code: {tmp_path}/one/projects (1 file, " in agreed.stdout
    assert run(settings, "watch", "--once", **first).returncode == 0
    assert run(settings, "watch", "--once", **second).returncode == 1


def test_once_reads_a_last_line_without_its_end_and_counts_parts(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(a_line("one") + a_line("two")[:-1])
    (folder / "b.jsonl").write_bytes(a_line("three") + a_line("four")[:-9])
    (folder / "c.jsonl").write_bytes(b'{"a":1}\n{"b":2}')
    out = check(settings, "watch", "--once", str(folder))
    assert (
        "3 files, 3 lines, 3 events, 0 dead letters, 1 file of no known format, "
        "1 line not complete" in out
    )


def test_a_second_watcher_of_a_lake_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    Path(settings.lake).mkdir(exist_ok=True)
    folder = tmp_path / "sessions"
    folder.mkdir()
    first = start(settings, "watch", str(folder))
    try:
        assert first.stdout is not None
        first.stdout.readline()
        second = run(settings, "watch", str(folder))
        assert second.returncode == 1
        assert "Another `semloop watch` runs" in second.stderr
    finally:
        first.terminate()
        first.communicate(timeout=60)


def test_lines_after_the_positions_are_read_at_the_next_start(
    settings: Settings, tmp_path: Path
) -> None:
    Path(settings.lake).mkdir(exist_ok=True)
    folder = tmp_path / "sessions"
    folder.mkdir()
    path = folder / "a.jsonl"
    path.write_bytes(a_line("one"))
    marks = Path(settings.lake, "_watch/local.json")
    process = start(settings, "watch", str(folder))
    wait_for(
        "positions",
        lambda: marks.exists() and json.loads(marks.read_bytes())["marks"],
    )
    process.kill()
    process.communicate()
    assert b"a.jsonl" not in marks.read_bytes()
    with path.open("ab") as file:
        file.write(a_line("two"))
    assert "1 line, 1 event" in check(settings, "watch", "--once", str(folder))
