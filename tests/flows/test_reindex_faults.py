"""`reindex` despite crashes, a lost reply and an embedder that does not answer."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flows.reindex import reindex
from semloop.errors import EmbedderUnavailable
from semloop.settings import Settings
from sinks.delta.fenced_table import FencedTable
from sinks.delta.reindex_positions import ReindexPositions
from sinks.vectors.table import VectorTable
from tests.flows.reindex_lake import (
    CountingEmbedder,
    Events,
    after_first_round,
    current_generation,
    memories_by_id,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)
from tests.operators.event_rows import event_row, events_table
from tests.sinks.memory_process import Crash, MemoryProcess, raise_crash

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_poll_settings(tmp_path / "la ke ü")


def test_reindex_accepts_a_switch_whose_reply_was_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(20))
    run_memory(settings, events)
    original_take = FencedTable.take
    restarted: list[MemoryProcess] = []

    def take(self: FencedTable, *args: Any) -> bool:
        assert original_take(self, *args)
        # `memory` restarts immediately, so its fence follows that of this switch.
        monkeypatch.setattr(FencedTable, "take", original_take)
        restarted.append(MemoryProcess(settings))
        self.reopen()
        return True

    monkeypatch.setattr(FencedTable, "take", take)
    assert reindex(settings).generation == 2
    assert len(restarted) == 1
    events.add(overlapping_sessions(5, first=20))
    assert restarted[0].read(events.all, 5, None)


STEPS = {
    "merge": (VectorTable, "merge"),
    "position": (ReindexPositions, "write"),
    "switch": (FencedTable, "take"),
}


# What follows a step is what precedes the next: all of them with `pytest -m storm`.
DEATHS = [
    *(pytest.param(step, False, id=f"before {step}") for step in STEPS),
    pytest.param("switch", True, id="after switch"),
    *(
        pytest.param(step, True, id=f"after {step}", marks=pytest.mark.storm)
        for step in STEPS
        if step != "switch"
    ),
]


@pytest.mark.parametrize(("step", "completed"), DEATHS)
def test_reindex_resumes_where_it_crashed(
    settings: Settings,
    embedder: CountingEmbedder,
    every_position_stored: None,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    *,
    completed: bool,
) -> None:
    events = Events(settings)
    # The open episode of session "quiet" gets no events in later polls.
    events.add(events_table(*(event_row(session="quiet", at_s=n) for n in range(3))))
    events.add(overlapping_sessions(100, first=3))
    run_memory(settings, events)
    expected = memories_by_id(settings)
    class_, name = STEPS[step]
    original = getattr(class_, name)
    crashes = 0
    for number in (0, 1, 3, 4):
        calls = itertools.count()

        def crash(*args: Any, calls: Any = calls, number: int = number) -> Any:
            is_crash = next(calls) == number
            if is_crash and not completed:
                raise Crash
            result = original(*args)
            if is_crash:
                raise Crash
            return result

        with monkeypatch.context() as patched:
            patched.setattr(class_, name, crash)
            try:
                reindex(settings)
            except Crash:
                crashes += 1
            else:
                break
    if step == "switch" and completed:
        assert current_generation(settings) > 2
        return
    assert crashes > 0
    reindex(settings)
    assert memories_by_id(settings) == expected
    if step == "position":
        # Each crash repeats at most one poll.
        assert embedder.embedded_texts <= len(expected) + crashes * 25


def test_reindex_resumed_after_a_crash_continues_an_open_episode(
    settings: Settings, every_position_stored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(events_table(*(event_row(session="quiet", at_s=n) for n in range(3))))
    life = run_memory(settings, events)
    with monkeypatch.context() as patched:
        patched.setattr(FencedTable, "take", lambda *_: raise_crash())
        with pytest.raises(Crash):
            reindex(settings)

    def continue_memory() -> None:
        events.add(
            events_table(event_row(session="quiet", at_s=9, text="more"), first=3)
        )
        assert life.read(events.all, 1, None)

    reindex(settings, after_first_round(continue_memory))
    assert memories_by_id(settings) == memories_by_id(settings, generation=1)


def test_reindex_waits_for_an_embedder_that_is_temporarily_unavailable(
    settings: Settings, embedder: CountingEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(20))
    run_memory(settings, events)
    original, calls = embedder.embed, itertools.count()

    def embed(texts: Sequence[str]) -> "Vectors":
        if next(calls) == 0:
            msg = "The model is loading."
            raise EmbedderUnavailable(msg, "Wait for it.")
        return original(texts)

    monkeypatch.setattr(embedder, "embed", embed)
    assert reindex(settings).memories == len(memories_by_id(settings, generation=1))
