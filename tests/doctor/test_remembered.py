"""What doctor says of the memories: how far the flow is, and of which model they are."""

import time
from pathlib import Path

import pytest

from semloop.command.doctor import State, memories
from semloop.lake import generations
from semloop.settings import Settings
from tests.doctor.examined import bad, examined, only
from tests.flows.reindex_lake import Events, overlapping_sessions, run_memory
from tests.sinks.memory_process import lake_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return lake_settings(tmp_path / "la ke ü")


def test_a_lake_without_memories_is_skipped(settings: Settings) -> None:
    Events(settings)
    skipped = only(examined(settings, "lake", "memories"))
    assert (skipped.state, "never ran" in skipped.found) == (State.SKIP, True)


def test_what_follows_and_is_of_the_model_of_the_settings_is_well(
    settings: Settings,
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(20))
    run_memory(settings, events)
    found = examined(settings, "lake", "memories")
    assert bad(found) == []
    lag, model = (finding.found for finding in found)
    assert lag == "all that is in the lake is remembered"
    assert model.endswith("in generation 1, of the model hashing/words/256")


@pytest.mark.parametrize(
    ("caught_up_s", "state", "told"),
    [
        (0.0, State.OK, "memory is 15 offsets behind archive"),
        (3_600.0, State.WARN, "memory is 15 offsets behind archive, for 1 h"),
        (None, State.WARN, "memory is 15 offsets behind archive"),
    ],
)
def test_a_flow_that_does_not_follow_is_told(
    settings: Settings, caught_up_s: float | None, state: State, told: str
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(10))
    now = time.time()
    ms = None if caught_up_s is None else int((now - caught_up_s) * 1_000)
    run_memory(settings, events, later_ms=ms)
    events.add(overlapping_sessions(15, first=10))
    lag, _ = examined(settings, "lake", "memories")
    assert (lag.state, lag.found) == (state, told)
    assert bool(lag.todo) is (state is State.WARN)


def test_another_model_is_told_and_none_is_made(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(10))
    run_memory(settings, events)
    other = settings.replace(embedder="minilm")
    failed = only(examined(other, "lake", "memories"))
    assert failed.state is State.FAIL
    assert failed.found == (
        "they are of the model hashing/words/256 (256 numbers), "
        "the settings name minilm"
    )
    assert "`semloop maintain reindex`" in failed.todo
    assert not Path(settings.lake, "_models").exists()


def test_memories_that_are_gone_are_told(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(10))
    run_memory(settings, events)
    Path(settings.lake, generations.FOLDER).rename(Path(settings.lake, "gone"))
    failed = only(examined(settings, "lake", "memories"))
    assert failed.found == "the table of generation 1 is gone"
    assert not Path(settings.lake, generations.FOLDER).exists()
    assert failed.state is State.FAIL


def test_a_topic_that_archive_never_read_has_nothing_to_follow(
    settings: Settings,
) -> None:
    run_memory(settings, Events(settings))
    other = settings.replace(topic="another")
    lag, _ = examined(other, "lake", "memories")
    assert (lag.state, lag.check) == (State.OK, memories.CHECK)
    assert lag.found == "archive never read a topic 'another' into this lake"
