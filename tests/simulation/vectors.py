"""Tables of memories in a simulated store, in place of LanceDB's.

Each merge is atomic, as `tests/sinks/test_vector_table.py` shows of the real one.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

import pyarrow as pa

from semloop.errors import StorageUnavailable
from semloop.retry import retry
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from tests.simulation.store import SimulatedStorage

R = TypeVar("R")


class Memory(NamedTuple):
    """What is stored of a memory; `events`: of an episode's, how many it has."""

    writer: int
    episode_id: str
    events: int


def vectors_name(generation: int) -> str:
    """Return the name of a generation's table in the store."""
    return f"memories/generation-{generation}"


class SimulatedVectors:
    """In place of `VectorTable`."""

    def __init__(
        self,
        storage: Storage,
        generation: int,
        dimension: int,
        model: str,
        retry_s: float = 60.0,
        on_retry: Callable[[str, str], None] = lambda table, cause: None,
    ) -> None:
        assert isinstance(storage, SimulatedStorage)
        self._storage, self._store = storage, storage.simulated
        self._name, self._retry_s = vectors_name(generation), retry_s

    def open(self) -> None:
        self._retry(self._create)

    def exists(self) -> bool:
        def once() -> bool:
            self._store.requests.before("read", self._name)
            return self._name in self._store.objects

        return self._retry(once)

    def episode_ids(self) -> set[str]:
        return {m.episode_id for m in self._retry(self._rows).values() if m.events}

    def largest_writer(self) -> int:
        rows = self._retry(self._rows)
        return max((memory.writer for memory in rows.values()), default=0)

    def merge(self, rows: pa.Table) -> None:
        columns = (rows[name].to_pylist() for name in ("writer", "episode_id", "seq"))
        memories = (Memory(w, e, n or 0) for w, e, n in zip(*columns, strict=True))
        found = dict(zip(rows["id"].to_pylist(), memories, strict=True))
        self._retry(partial(self._merge_once, found))

    @staticmethod
    def may_replace(new: Memory, old: Memory) -> bool:
        """True if a row may be stored in place of another one of its id."""
        return new.writer >= old.writer

    def _merge_once(self, found: dict[bytes, Memory]) -> None:
        store = self._store
        store.requests.before("put", self._name)
        stored = dict(store.objects[self._name].content)
        stored |= {
            key: memory
            for key, memory in found.items()
            if key not in stored or self.may_replace(memory, stored[key])
        }
        store.objects[self._name].content = stored
        store.on_put(self._name)
        store.requests.after("put", self._name)

    def _create(self) -> None:
        with suppress(FileExistsError):
            self._store.store(self._name, b"", {}, only_new=True)

    def _rows(self) -> dict[bytes, Memory]:
        found: dict[bytes, Memory] = self._store.content(self._name)
        return found

    def _retry(self, step: Callable[[], R]) -> R:
        def once() -> R:
            with storage_errors(self._storage, "use table memories"):
                return step()

        return retry(once, on=StorageUnavailable, seconds=self._retry_s)
