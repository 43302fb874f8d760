"""A lake of one partition, its flow `memory` step by step, and what memories hold."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from semloop.delta.streams import CAUGHT_UP
from semloop.embedders.hashing import Hashing
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.builders import LOG, P0
from tests.operators.a_stream import a_stream, said
from tests.sinks.a_memory import Life, a_lake
from tests.sources.events_table import EventsTable

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

# Long after all events: what is not closed by then closes by inactivity.
LATER_MS = 10**13
KINDS = ("message", "tool_call", "error", "state_change", "feedback", "completion")
Row = dict[str, Any]


def a_day(events: int, seed: int = 1, sessions: int = 5, first: int = 0) -> pa.Table:
    """Sessions that overlap, talk, fail, get feedback, end or go on."""
    rng = random.Random(seed)
    rows = []
    for number in range(first, first + events):
        kind = rng.choices(KINDS, (8, 6, 1, 2, 1, 1))[0]
        session = f"s-{rng.randrange(sessions)}"
        text = f"text {number} " + "word " * rng.choice([0, 0, 0, 300])
        at_s = number * 40.0
        rows.append(said(kind, session, at_s=at_s, text=text, importance=rng.random()))
    return a_stream(*rows, first=first)


class Events:
    """`archive`: puts events of the partition into the lake."""

    def __init__(self, settings: Settings) -> None:
        self.all = a_stream()
        self._table = EventsTable(Storage.of(settings), LOG, (0,))

    def add(self, stream: pa.Table) -> pa.Table:
        """All events up to now."""
        self.all = pa.concat_tables([self.all, stream])
        last = stream["kafka_offset"][-1].as_py()
        self._table.table.commit(stream, {P0: last}, {(P0, CAUGHT_UP): LATER_MS})
        return self.all

    def retain(self, beyond: int) -> None:
        """Remove the events up to an offset, as retention does."""
        storage = self._table.storage
        storage.open("events").delete(f"kafka_offset <= {beyond}")


def live(
    settings: Settings, events: Events, count: int = 45, later_ms: int | None = None
) -> Life:
    """A process of the flow that reads to the end; it can go on."""
    life = Life(settings)
    while life.read(events.all, count, later_ms):
        pass
    return life


def generation(settings: Settings) -> int:
    """Which one holds."""
    return generations.generation_of(Storage.of(settings).open(generations.EPISODES))


def held(settings: Settings, of: int | None = None) -> dict[bytes, Mapping[str, Any]]:
    """Id -> every row of a generation, the one that holds, but for who wrote it."""
    number = generation(settings) if of is None else of
    table = generations.open_table(generations.connect(Storage.of(settings)), number)
    assert table is not None
    rows = table.search().limit(None).to_arrow().to_pylist()
    found: dict[bytes, Mapping[str, Any]] = {}
    for row in rows:
        assert row["id"] not in found, "an id is there twice"
        found[row["id"]] = {name: row[name] for name in row if name != "writer"}
    return found


def small_polls(folder: Path) -> Settings:
    """Settings with which a day is several polls."""
    return a_lake(folder).replace(memory_poll_events=20, storage_retry_s=2.0)


class Counting(Hashing):
    """Knows how many texts it was asked for; it may be another model, too."""

    def __init__(self, model_id: str = "", dimension: int = 0) -> None:
        super().__init__()
        self.texts = 0
        self.model_id = model_id or self.model_id
        self.dimension = dimension or self.dimension

    def embed(self, texts: Sequence[str]) -> "Vectors":
        self.texts += len(texts)
        vectors = super().embed(texts)
        if self.dimension < vectors.shape[1]:
            vectors = vectors[:, : self.dimension] + np.float32(1e-3)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def between(action: Callable[[], None]) -> Callable[[str, int, int], None]:
    """Told of the work; acts once between the first round and the next."""
    actions = iter([action])

    def show(step: str, done: int, total: int) -> None:
        if step == "vectors":
            next(actions, lambda: None)()

    return show
