"""The parts of the demo without a broker: agents, broken records, the audit."""

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
from tests.builders import NOW, a_poll


class Recorder(Agent):
    """An agent whose events are kept instead of sent."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.emitted: list[tuple[str, dict[str, Any]]] = []

    def emit(self, kind: str, meta: Any, payload: Any) -> str:
        self.emitted.append((kind, dict(payload)))
        return super().emit.__name__ + str(len(self.emitted))


def test_a_session_is_the_same_in_every_demo_and_gives_each_of_its_events() -> None:
    for name in AGENTS:
        first, second = Recorder(name), Recorder(name)
        given = [len(list(work(agent, f"{name}-0001"))) for agent in (first, second)]
        assert first.emitted == second.emitted
        assert given == [len(first.emitted)] * 2
        assert [kind for kind, _ in first.emitted].count("completion") == 1


def test_each_tool_of_a_scenario_and_each_stand_in_exists() -> None:
    named = {tool for scenario in SCENARIOS for tool in scenario.tools}
    stand_ins = {tool.instead for tool in TOOLS.values() if tool.instead}
    assert named | stand_ins == set(TOOLS)
    assert all(TOOLS[name].fails == 0 or TOOLS[name].error for name in TOOLS)


@pytest.mark.parametrize("events", [1, 3, 7, 100, 5_000])
def test_about_as_many_events_are_produced_as_were_asked_for(
    events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "Agent", lambda name, settings: Recorder(name))
    monkeypatch.setattr(Recorder, "flush", lambda self, timeout_s: True)
    with crowd.Crowd(Settings(), events) as agents:
        for worker in agents._workers:
            worker.join()
        assert not agents.working
        assert 0.95 * events <= agents.produced <= 1.05 * events + 12 * agents.agents


def test_a_broker_that_takes_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "Agent", lambda name, settings: Recorder(name))
    monkeypatch.setattr(Recorder, "flush", lambda self, timeout_s: False)
    with crowd.Crowd(Settings(), 1) as agents:
        agents._workers[0].join()
        with pytest.raises(BrokerUnavailable, match="did not take all events"):
            _ = agents.working


def test_who_is_stopped_works_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "Agent", lambda name, settings: Recorder(name))
    stopped = threading.Event()
    stopped.set()
    worker = crowd.Worker("support", 10**9, Settings(), stopped)
    worker.start()
    worker.join(20)
    assert not worker.is_alive()


def test_no_broken_record_is_an_event_and_each_has_its_reason() -> None:
    decoded = decode(a_poll(*broken_records()), NOW, 2**20)
    assert len(decoded.events) == 0
    reasons = decoded.dead_letters["reason"].to_pylist()
    assert reasons == [
        Reason.NOT_JSON, Reason.NOT_JSON, Reason.INVALID_UTF8,
        Reason.MISSING_FIELD, Reason.MISSING_FIELD, Reason.MISSING_FIELD,
        Reason.WRONG_TYPE, Reason.WRONG_TYPE, Reason.NAN_OR_INFINITY,
        Reason.TOO_DEEP, Reason.UNKNOWN_TYPE, Reason.TIMESTAMP_OUT_OF_RANGE,
    ]  # fmt: skip


def test_a_careless_producer_sends_all_of_them_and_one_event_twice(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings)
    there = missing(settings, {p: Position() for p in range(topic.partitions)})
    assert there.records == sent.records
    assert sent.records == len(broken_records()) + sent.events + sent.repeated
    # A session's records are in one partition, where the second one is dropped.
    assert sorted(backlog.records for backlog in there.backlogs)[:3] == [0, 0, 0]


@pytest.fixture
def empty_lake(tmp_path: Path) -> Iterator[Lake]:
    (tmp_path / "lake").mkdir()
    with Lake(tmp_path / "lake") as lake:
        yield lake


@pytest.mark.parametrize(
    ("events", "ids", "dead_letters"),
    [(9, 9, 2), (11, 10, 2), (10, 9, 2), (10, 10, 1), (10, 10, 3)],
    ids=["lost", "doubled", "one doubled, one lost", "letter lost", "letter doubled"],
)
def test_what_is_lost_or_doubled_is_told(
    empty_lake: Lake, events: int, ids: int, dead_letters: int
) -> None:
    con = empty_lake.connection
    con.execute(
        "CREATE OR REPLACE VIEW events AS SELECT least(n, ?) AS event_id"
        " FROM range(1, ?) t(n)".replace("?", "{}").format(ids, events + 1)
    )
    letters = f"CREATE OR REPLACE VIEW dead_letters AS FROM range({dead_letters})"
    con.execute(letters)
    with pytest.raises(Terminal, match=r"10 events in, .* 2 broken records"):
        check(empty_lake, Expected(10, 2, 1))


def test_a_pipe_gets_a_line_a_quarter(capsys: pytest.CaptureFixture[str]) -> None:
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
def test_commands_to_try_are_called_as_this_one_was(
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
