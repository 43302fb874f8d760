"""The check of the memories: lag of the flow, and embedding model."""

import time
from pathlib import Path

import pytest

from semloop.command.doctor import State, memories
from semloop.lake import generations
from semloop.settings import Settings
from tests.doctor.run_checks import findings_of, only_problem, problems
from tests.flows.reindex_lake import Events, overlapping_sessions, run_memory
from tests.sinks.memory_process import lake_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return lake_settings(tmp_path / "la ke ü")


def test_memories_check_skips_a_lake_without_memories(settings: Settings) -> None:
    Events(settings)
    skipped = only_problem(findings_of(settings, "lake", "memories"))
    assert (skipped.state, "has never run" in skipped.found) == (State.SKIP, True)


def test_memories_check_is_ok_without_lag_and_with_the_configured_model(
    settings: Settings,
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(20))
    run_memory(settings, events)
    found = findings_of(settings, "lake", "memories")
    assert problems(found) == []
    lag, model = (finding.found for finding in found)
    assert lag == "memory has processed all events in the lake"
    assert model.endswith("in generation 1, of the model hashing/words/256")


def test_memories_check_warns_about_limits_of_namespaces_without_memories(
    settings: Settings,
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(20))
    run_memory(settings, events)
    known = {"memories_max": {"default": 9, "*": 7}}
    assert problems(findings_of(settings.replace(**known), "lake", "memories")) == []
    mistyped = settings.replace(
        memories_max={"default": 9, "tset": 9},
        memories_importance_min={"*": 0.5, "porduction": 0.1},
        retention={"memories/ols": 30, "events/other": 30},
    )
    (problem,) = problems(findings_of(mistyped, "lake", "memories"))
    assert problem.state is State.WARN
    assert "name 'ols', 'porduction', 'tset', but no memory" in problem.found


@pytest.mark.parametrize(
    ("caught_up_s", "state", "found"),
    [
        (0.0, State.OK, "memory is 15 offsets behind archive"),
        (3_600.0, State.WARN, "memory is 15 offsets behind archive, for 1 h"),
        (None, State.WARN, "memory is 15 offsets behind archive"),
    ],
)
@pytest.mark.parametrize("skew_s", [0, 7_200])
def test_memories_check_warns_about_a_flow_that_lags(
    settings: Settings,
    caught_up_s: float | None,
    state: State,
    found: str,
    skew_s: float,
) -> None:
    """The clock of `archive` may be ahead of the one of this machine."""
    now = time.time() + skew_s
    events = Events(settings, caught_up_ms=int(now * 1_000))
    events.add(overlapping_sessions(10))
    ms = None if caught_up_s is None else int((now - caught_up_s) * 1_000)
    run_memory(settings, events, later_ms=ms)
    events.add(overlapping_sessions(15, first=10))
    lag, _ = findings_of(settings, "lake", "memories")
    assert (lag.state, lag.found) == (state, found)
    assert bool(lag.todo) is (state is State.WARN)


def test_memories_check_fails_for_another_model_without_creating_it(
    settings: Settings,
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(10))
    run_memory(settings, events)
    other = settings.replace(embedder="minilm")
    failed = only_problem(findings_of(other, "lake", "memories"))
    assert failed.state is State.FAIL
    assert failed.found == (
        "the memories are of the model hashing/words/256 (256 dimensions), "
        "but the settings select minilm"
    )
    assert "`semloop maintain reindex`" in failed.todo
    assert not Path(settings.lake, "_models").exists()


def test_memories_check_fails_if_the_table_is_missing(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(10))
    run_memory(settings, events)
    Path(settings.lake, generations.FOLDER).rename(Path(settings.lake, "elsewhere"))
    failed = only_problem(findings_of(settings, "lake", "memories"))
    assert failed.found == "the table of generation 1 is missing"
    assert not Path(settings.lake, generations.FOLDER).exists()
    assert failed.state is State.FAIL


def test_memories_check_is_ok_for_a_topic_that_archive_never_read(
    settings: Settings,
) -> None:
    run_memory(settings, Events(settings))
    other = settings.replace(topic="another")
    lag, _ = findings_of(other, "lake", "memories")
    assert (lag.state, lag.check) == (State.OK, memories.CHECK)
    assert lag.found == "archive has never read the topic 'another' into this lake"
