"""Parts of the demo: agents, invalid records, audit and progress."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operators.decoding.decode import decode
from schemas.dead_letter import Reason
from semloop.agent.agent import Agent
from semloop.command.demo import answers, crowd
from semloop.command.demo.agents import AGENTS, SCENARIOS, TOOLS, work
from semloop.command.demo.audit import Expected, check
from semloop.command.demo.bars import bars
from semloop.command.demo.broken import broken_records, produce
from semloop.errors import BrokerUnavailable, Terminal
from semloop.kafka.topic import Topic
from semloop.lake.lake import Lake
from semloop.progress.backlog import missing
from semloop.progress.positions import Position
from semloop.settings import Settings
from tests.support.builders import NOW, a_poll


class Recorder(Agent):
    """An agent that stores its events instead of sending them."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.emitted: list[tuple[str, dict[str, Any]]] = []

    def emit(
        self, kind: str, meta: Any, payload: Any, metadata: Any = None, **_: Any
    ) -> str:
        self.emitted.append((kind, dict(payload)))
        return super().emit.__name__ + str(len(self.emitted))


def test_a_session_is_deterministic_and_yields_each_of_its_events() -> None:
    for name in AGENTS:
        first, second = Recorder(name), Recorder(name)
        yielded = [len(list(work(agent, f"{name}-0001"))) for agent in (first, second)]
        assert first.emitted == second.emitted
        assert yielded == [len(first.emitted)] * 2
        assert [kind for kind, _ in first.emitted].count("completion") == 1


def test_each_tool_of_a_scenario_and_each_fallback_exists() -> None:
    used = {tool for scenario in SCENARIOS for tool in scenario.tools}
    fallbacks = {tool.fallback for tool in TOOLS.values() if tool.fallback}
    assert used | fallbacks == set(TOOLS)
    assert all(TOOLS[name].failure_rate == 0 or TOOLS[name].error for name in TOOLS)


@pytest.mark.parametrize("events", [1, 3, 7, 100, 5_000])
def test_the_agents_produce_about_the_requested_number_of_events(
    events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "Agent", lambda name, settings: Recorder(name))
    monkeypatch.setattr(Recorder, "flush", lambda self, timeout_s: True)
    with crowd.Crowd(Settings(), events) as agents:
        for worker in agents._workers:
            worker.join()
        assert not agents.working
        assert 0.95 * events <= agents.produced <= 1.05 * events + 12 * agents.agents


def test_a_broker_that_acknowledges_nothing_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crowd, "Agent", lambda name, settings: Recorder(name))
    monkeypatch.setattr(Recorder, "flush", lambda self, timeout_s: False)
    with crowd.Crowd(Settings(), 1) as agents:
        agents._workers[0].join()
        with pytest.raises(BrokerUnavailable, match="did not acknowledge all events"):
            _ = agents.working


def test_a_stopped_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "Agent", lambda name, settings: Recorder(name))
    stopped = threading.Event()
    stopped.set()
    worker = crowd.Worker("support", 10**9, Settings(), stopped)
    worker.start()
    worker.join(60)
    assert not worker.is_alive()


def test_each_invalid_record_becomes_a_dead_letter_with_its_reason() -> None:
    decoded = decode(a_poll(*broken_records()), NOW, 2**20)
    assert len(decoded.events) == 0
    reasons = decoded.dead_letters["reason"].to_pylist()
    assert reasons == [
        Reason.NOT_JSON, Reason.NOT_JSON, Reason.INVALID_UTF8,
        Reason.MISSING_FIELD, Reason.MISSING_FIELD, Reason.MISSING_FIELD,
        Reason.WRONG_TYPE, Reason.WRONG_TYPE, Reason.NAN_OR_INFINITY,
        Reason.TOO_DEEP, Reason.UNKNOWN_TYPE, Reason.TIMESTAMP_OUT_OF_RANGE,
    ]  # fmt: skip


def test_the_faulty_producer_sends_all_invalid_records_and_one_duplicate(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings)
    backlog = missing(settings, {p: Position() for p in range(topic.partitions)})
    assert backlog.records == sent.records
    assert sent.records == len(broken_records()) + sent.events + sent.repeated
    # The records of a session are in one partition, where the duplicate is dropped.
    assert sorted(b.records for b in backlog.backlogs)[:3] == [0, 0, 0]


@pytest.fixture
def empty_lake(tmp_path: Path) -> Iterator[Lake]:
    (tmp_path / "lake").mkdir()
    with Lake(tmp_path / "lake") as lake:
        yield lake


@pytest.mark.parametrize(
    ("events", "ids", "dead_letters"),
    [(9, 9, 2), (11, 10, 2), (10, 9, 2), (10, 10, 1), (10, 10, 3)],
    ids=[
        "lost",
        "duplicate",
        "one duplicate, one lost",
        "letter lost",
        "letter duplicate",
    ],
)
def test_the_audit_reports_lost_and_duplicated_rows(
    empty_lake: Lake, events: int, ids: int, dead_letters: int
) -> None:
    con = empty_lake.connection
    con.execute(
        "CREATE OR REPLACE VIEW events AS SELECT least(n, ?) AS event_id"
        " FROM range(1, ?) t(n)".replace("?", "{}").format(ids, events + 1)
    )
    letters = f"CREATE OR REPLACE VIEW dead_letters AS FROM range({dead_letters})"
    con.execute(letters)
    with pytest.raises(Terminal, match=r"10 events sent, .* 2 invalid records"):
        check(empty_lake, Expected(10, 2, 1))


def test_progress_in_a_pipe_is_one_line_per_quarter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bars() as show:
        for committed in range(1_001):
            show(1_000, committed, 1_000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "produced 1,000, in the lake 1,000 of 1,000"
    assert json.dumps(lines[0]).isascii()


@pytest.mark.parametrize(
    ("called", "path", "shown"),
    [
        (".venv/bin/semloop", "/nowhere", " .venv/bin/semloop show s-1\n"),
        ("a b/semloop", "/nowhere", " 'a b/semloop' show s-1\n"),
        (".venv/bin/semloop", ".", " semloop show s-1\n"),
        ("semloop/__main__.py", "/nowhere", " semloop show s-1\n"),
    ],
)
def test_commands_to_try_use_the_path_of_the_running_command(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    called: str,
    path: str,
    shown: str,
) -> None:
    (tmp_path / "semloop").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / path))
    monkeypatch.setattr("sys.argv", [called, "demo"])
    answers.print_next("semloop-demo", "s-1")
    assert shown in capsys.readouterr().out
