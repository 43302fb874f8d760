"""A lake of one partition, stepwise runs of `memory`, and the memories it wrote."""

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
from tests.operators.event_rows import event_row, events_table
from tests.sinks.memory_process import MemoryProcess, lake_settings
from tests.sources.events_table import EventsTable
from tests.support.builders import LOG, P0

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

# Long after all events: episodes still open by then close by inactivity.
LATER_MS = 10**13
KINDS = ("message", "tool_call", "error", "state_change", "feedback", "completion")
Row = dict[str, Any]


def overlapping_sessions(
    events: int, seed: int = 1, sessions: int = 5, first: int = 0
) -> pa.Table:
    """Events of overlapping sessions, of all kinds; some sessions end, others stay open."""
    rng = random.Random(seed)
    rows = []
    for number in range(first, first + events):
        kind = rng.choices(KINDS, (8, 6, 1, 2, 1, 1))[0]
        session = f"s-{rng.randrange(sessions)}"
        text = f"text {number} " + "word " * rng.choice([0, 0, 0, 300])
        at_s = number * 40.0
        rows.append(
            event_row(kind, session, at_s=at_s, text=text, importance=rng.random())
        )
    return events_table(*rows, first=first)


class Events:
    """Replaces `archive` in tests: appends events of one partition to the lake."""

    def __init__(self, settings: Settings, caught_up_ms: int = LATER_MS) -> None:
        self.all = events_table()
        self._caught_up_ms = caught_up_ms
        self._table = EventsTable(Storage.of(settings), LOG, (0,))

    def add(self, stream: pa.Table, caught_up_ms: int | None = None) -> pa.Table:
        """Append events; return all events so far."""
        if caught_up_ms is not None:
            self._caught_up_ms = caught_up_ms
        self.all = pa.concat_tables([self.all, stream])
        last = stream["kafka_offset"][-1].as_py()
        self._table.table.commit(
            stream, {P0: last}, {(P0, CAUGHT_UP): self._caught_up_ms}
        )
        return self.all

    def expire(self, last_offset: int) -> None:
        """Remove the events up to an offset, as retention does."""
        storage = self._table.storage
        storage.open("events").delete(f"kafka_offset <= {last_offset}")


def run_memory(
    settings: Settings, events: Events, count: int = 45, later_ms: int | None = None
) -> MemoryProcess:
    """Run `memory` until it has read all events; the returned process can continue."""
    life = MemoryProcess(settings)
    while life.read(events.all, count, later_ms):
        pass
    return life


def current_generation(settings: Settings) -> int:
    """Return the generation that readers use."""
    return generations.generation_of(Storage.of(settings).open(generations.EPISODES))


def memories_by_id(
    settings: Settings, generation: int | None = None
) -> dict[bytes, Mapping[str, Any]]:
    """Id -> row without `writer`, of a generation or else of the current one."""
    number = current_generation(settings) if generation is None else generation
    table = generations.open_table(generations.connect(Storage.of(settings)), number)
    assert table is not None
    rows = table.search().limit(None).to_arrow().to_pylist()
    found: dict[bytes, Mapping[str, Any]] = {}
    for row in rows:
        assert row["id"] not in found, "an id is stored twice"
        found[row["id"]] = {name: row[name] for name in row if name != "writer"}
    return found


def small_poll_settings(folder: Path) -> Settings:
    """Settings under which `overlapping_sessions` takes several polls."""
    return lake_settings(folder).replace(memory_poll_events=20, storage_retry_s=2.0)


class CountingEmbedder(Hashing):
    """Counts the texts that it embeds; can have another model id and dimension."""

    def __init__(self, model_id: str = "", dimension: int = 0) -> None:
        super().__init__()
        self.embedded_texts = 0
        self.model_id = model_id or self.model_id
        self.dimension = dimension or self.dimension

    def embed(self, texts: Sequence[str]) -> "Vectors":
        self.embedded_texts += len(texts)
        vectors = super().embed(texts)
        if self.dimension < vectors.shape[1]:
            vectors = vectors[:, : self.dimension] + np.float32(1e-3)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def after_first_round(action: Callable[[], None]) -> Callable[[str, int, int], None]:
    """Return a progress callback that runs `action` once, after the first round."""
    actions = iter([action])

    def show(step: str, done: int, total: int) -> None:
        if step == "vectors":
            next(actions, lambda: None)()

    return show
