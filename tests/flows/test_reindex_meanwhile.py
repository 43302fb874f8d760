"""Whatever happens while memories are made anew, they are those of live."""

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable

from flows import reindex_worker as module
from flows.reindex import reindex
from semloop.errors import (
    EmbedderUnavailable,
    LakeError,
    MemoriesSwitched,
    Terminal,
    TopicChanged,
)
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.delta.fenced_table import FencedTable
from sinks.delta.reindex_positions import ReindexPositions
from sinks.vectors.new_generation import NewGeneration
from sinks.vectors.table import VectorTable
from sources.lake import rounds
from sources.lake.episode_index import EpisodeIndex
from tests.builders import LOG
from tests.flows.a_reindex import (
    LATER_MS,
    Counting,
    Events,
    a_day,
    between,
    generation,
    held,
    live,
    small_polls,
)
from tests.operators.a_stream import a_stream, said
from tests.sinks.a_memory import Crash, Life
from tests.sources.events_table import EventsTable

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_polls(tmp_path / "la ke ü")


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """What `reindex` uses in this test."""
    counting = Counting()
    monkeypatch.setattr(module, "embedder_of", lambda settings: counting)
    return counting


@pytest.fixture
def all_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each poll is noted."""
    monkeypatch.setattr(rounds, "SAVE_EVERY_S", 0.0)


def test_what_comes_and_closes_between_two_rounds_is_there(settings: Settings) -> None:
    events = Events(settings)
    events.add(a_day(60))
    life = live(settings, events)

    def goes_on() -> None:
        events.add(a_day(60, seed=2, first=60))
        while life.read(events.all, 9, LATER_MS):
            pass

    reindex(settings, between(goes_on))
    assert generation(settings) == 2
    assert held(settings) == held(settings, of=1)
    more = events.add(a_day(5, first=120))
    with pytest.raises(MemoriesSwitched):
        life.read(more, 9, None)


def test_a_commit_just_before_the_switch_refuses_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(a_day(60))
    life = live(settings, events)
    plain, tries = NewGeneration._switch, itertools.count()

    def late(self: Any) -> bool:
        number = next(tries)
        if number < 3:
            events.add(a_day(7, first=60 + 7 * number))
            assert life.read(events.all, 7, LATER_MS if number == 2 else None)
            assert plain(self) is False
            return False
        return plain(self)

    monkeypatch.setattr(NewGeneration, "_switch", late)
    reindex(settings)
    assert next(tries) == 4
    assert held(settings) == held(settings, of=1)


def test_a_flow_that_never_pauses_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(a_day(20))
    live(settings, events)
    monkeypatch.setattr(rounds, "ROUNDS_MAX", 2)
    monkeypatch.setattr(FencedTable, "take", lambda *_: False)
    with pytest.raises(Terminal, match="commits as fast"):
        reindex(settings)
    assert generation(settings) == 1


def test_a_switch_whose_reply_was_lost_is_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(a_day(20))
    live(settings, events)
    plain = FencedTable.take
    lives: list[Life] = []

    def take(self: FencedTable, *args: Any) -> bool:
        assert plain(self, *args)
        # `memory` starts right after it: this take-over is overtaken.
        monkeypatch.setattr(FencedTable, "take", plain)
        lives.append(Life(settings))
        self.reopen()
        return True

    monkeypatch.setattr(FencedTable, "take", take)
    assert reindex(settings).generation == 2
    assert len(lives) == 1
    events.add(a_day(5, first=20))
    assert lives[0].read(events.all, 5, None)


STEPS = {
    "merge": (VectorTable, "merge"),
    "position": (ReindexPositions, "write"),
    "switch": (FencedTable, "take"),
}


@pytest.mark.parametrize("first", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_it_goes_on_where_it_died(
    settings: Settings,
    embedder: Counting,
    all_noted: None,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    *,
    first: bool,
) -> None:
    events = Events(settings)
    # In a poll of its own some episode is silent, which is open.
    events.add(a_stream(*(said(session="quiet", at_s=n) for n in range(3))))
    events.add(a_day(100, first=3))
    live(settings, events)
    wanted = held(settings)
    class_, name = STEPS[step]
    plain = getattr(class_, name)
    deaths = 0
    for number in (0, 1, 3, 4):
        calls = itertools.count()

        def dies(*args: Any, calls: Any = calls, number: int = number) -> Any:
            here = next(calls) == number
            if here and not first:
                raise Crash
            found = plain(*args)
            if here:
                raise Crash
            return found

        with monkeypatch.context() as patched:
            patched.setattr(class_, name, dies)
            try:
                reindex(settings)
            except Crash:
                deaths += 1
            else:
                break
    if step == "switch" and first:
        assert generation(settings) > 2
        return
    assert deaths > 0
    reindex(settings)
    assert held(settings) == wanted
    if step == "position":
        # Each death costs a poll at most.
        assert embedder.texts <= len(wanted) + deaths * 25


def _crash() -> bool:
    raise Crash


def test_an_episode_that_is_silent_while_it_died_goes_on(
    settings: Settings, all_noted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(a_stream(*(said(session="quiet", at_s=n) for n in range(3))))
    life = live(settings, events)
    with monkeypatch.context() as patched:
        patched.setattr(FencedTable, "take", lambda *_: _crash())
        with pytest.raises(Crash):
            reindex(settings)

    def goes_on() -> None:
        events.add(a_stream(said(session="quiet", at_s=9, text="more"), first=3))
        assert life.read(events.all, 1, None)

    reindex(settings, between(goes_on))
    assert held(settings) == held(settings, of=1)


@pytest.mark.parametrize("model", ["", "other"])
def test_of_two_at_once_one_ends_with_a_line(
    settings: Settings,
    embedder: Counting,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
) -> None:
    events = Events(settings)
    events.add(a_day(60))
    live(settings, events)
    wanted = held(settings)

    def another() -> None:
        monkeypatch.setattr(module, "embedder_of", lambda settings: Counting(model))
        assert reindex(settings).generation == (3 if model else 2)

    with pytest.raises(Terminal, match="Another `reindex`"):
        reindex(settings, between(another))
    assert len(held(settings)) == len(wanted)
    assert generation(settings) == (3 if model else 2)
    if not model:
        assert held(settings) == wanted
        # Who was fenced once is not fenced again.
        events.add(a_day(5, first=60))
        assert live(settings, events).position == 64


@pytest.mark.parametrize("half", [False, True])
def test_memories_that_are_deleted_meanwhile_are_told(
    settings: Settings, *, half: bool
) -> None:
    events = Events(settings)
    events.add(a_day(60))
    life = live(settings, events)
    wanted = held(settings)
    folder = Path(settings.lake, generations.FOLDER)

    def delete() -> None:
        if half:
            events.add(a_day(5, first=60))
            life.read(events.all, 5, None)
            wanted.update(held(settings))
        folder.rename(folder.with_name("gone"))

    with pytest.raises(LakeError) as told:
        reindex(settings, between(delete))
    assert str(told.value).count("\n") == 1
    assert generation(settings) == 1
    reindex(settings)
    assert held(settings) == wanted


def test_new_memories_that_are_deleted_are_not_switched_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(a_day(20))
    live(settings, events)
    plain, steps = EpisodeIndex.follow, itertools.count()

    def follow(self: EpisodeIndex, handle: DeltaTable) -> None:
        if next(steps) == 1:  # Nothing is left to do but the switch.
            shutil.rmtree(Path(settings.lake, generations.FOLDER, "generation-2.lance"))
        plain(self, handle)

    monkeypatch.setattr(EpisodeIndex, "follow", follow)
    with pytest.raises(LakeError, match="were removed while they were made"):
        reindex(settings)
    assert generation(settings) == 1
    assert reindex(settings).generation == 3


def test_partitions_that_came_meanwhile_are_told(settings: Settings) -> None:
    events = Events(settings)
    events.add(a_day(30))
    live(settings, events)

    def grow() -> None:
        EventsTable(Storage.of(settings), LOG, (1,))

    with pytest.raises(TopicChanged, match="Run it once more"):
        reindex(settings, between(grow))
    assert generation(settings) == 1
    assert reindex(settings).memories == 0
    assert held(settings) == held(settings, of=1)


def test_a_model_that_pauses_is_waited_for(
    settings: Settings, embedder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(a_day(20))
    live(settings, events)
    plain, calls = embedder.embed, itertools.count()

    def embed(texts: Sequence[str]) -> "Vectors":
        if next(calls) == 0:
            msg = "It sleeps."
            raise EmbedderUnavailable(msg, "Wake it.")
        return plain(texts)

    monkeypatch.setattr(embedder, "embed", embed)
    assert reindex(settings).memories == len(held(settings, of=1))
