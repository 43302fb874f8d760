"""An object store in memory, in place of obstore's client of S3.

Each request is a step of a schedule: `Requests` may let other processes run before and
after it, fail it, lose its reply, or end the process.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from semloop.storage.objects import Objects
from semloop.storage.stored_file import StoredFile

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from typing_extensions import Buffer


@dataclass
class StoredObject:
    """An object, when it was written by the store's clock, and its content if known.

    `follows`: of a log entry, the version before it and the version that it makes.
    """

    data: bytes
    written_s: float
    content: Any = None
    follows: tuple[Any, Any] | None = None


class Requests:
    """What happens around the requests of a process; here nothing."""

    def before(self, kind: str, name: str) -> None:
        """Run before a request; an OSError is that of a store that did nothing."""

    def after(self, kind: str, name: str) -> None:
        """Run after a request; an OSError is a reply that was lost.

        A FileExistsError is that of a client that repeated a conditional PUT.
        """

    def machine_s(self) -> float:
        """Return the time of the machine on which the current process runs."""
        raise NotImplementedError

    def store_s(self) -> float:
        """Return the time of the store, which never goes back."""
        raise NotImplementedError


class SimulatedObjects(Objects):
    """The objects by name; `on_put` is called with each name that was written."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests
        self.objects: dict[str, StoredObject] = {}
        # Table -> the names in its log, in the order in which they were written.
        self._logs: dict[str, dict[str, None]] = {}
        self.on_put: Callable[[str], None] = lambda name: None
        self.on_remove: Callable[[str], None] = lambda name: None

    def read(self, name: str) -> bytes:
        self.requests.before("read", name)
        return self._found(name).data

    def read_range(self, name: str, start: int, end: int) -> bytes:
        return self.read(name)[start:end]

    def put(
        self, name: str, data: "Buffer", *, only_new: bool = False, replaces: str = ""
    ) -> None:
        self.store(name, bytes(data), only_new=only_new)

    def store(
        self, name: str, data: bytes, content: Any = None, *, only_new: bool = False
    ) -> None:
        """Write an object; `content`: what its bytes stand for."""
        self.requests.before("put", name)
        if only_new and name in self.objects:
            raise FileExistsError(name)
        self.objects[name] = StoredObject(data, self.requests.store_s(), content)
        table, is_log, _ = name.partition("/_delta_log/")
        if is_log:
            self._logs.setdefault(table, {})[name] = None
        self.on_put(name)
        self.requests.after("create" if only_new else "put", name)

    def put_file(self, name: str, path: Path, storage_class: str = "") -> None:
        raise NotImplementedError

    def written_at(self, name: str) -> datetime:
        self.requests.before("head", name)
        return datetime.fromtimestamp(self._found(name).written_s, UTC)

    def remove(self, names: Sequence[str]) -> None:
        self.requests.before("remove", names[0])
        for name in names:
            if self.objects.pop(name, None) is not None:
                self.on_remove(name)
        self.requests.after("remove", names[0])

    def below(self, folder: str) -> Iterator[StoredFile]:
        self.requests.before("list", folder)
        for name, found in list(self.objects.items()):
            if name.startswith(f"{folder}/"):
                yield StoredFile(name, len(found.data), found.written_s)

    def open(self, name: str) -> "pa.NativeFile":
        self.requests.before("read", name)
        return pa.BufferReader(self._found(name).data)

    def log_names(self, table: str) -> list[str]:
        """Return the names in the folder of a table's log."""
        return list(self._logs.get(table, ()))

    def clean_log(self, table: str, name: str) -> None:
        """Remove a file of a table's log, without a request."""
        del self.objects[name], self._logs[table][name]

    def content(self, name: str) -> Any:
        """Read what the bytes of an object stand for."""
        self.requests.before("read", name)
        return self._found(name).content

    def _found(self, name: str) -> StoredObject:
        if name not in self.objects:
            msg = f"Object at location {name} not found: <Code>NoSuchKey</Code>"
            raise FileNotFoundError(msg)
        return self.objects[name]


@dataclass(frozen=True)
class SimulatedStorage(Storage):
    """A lake in a simulated store: only the clients of the store are other ones."""

    simulated: SimulatedObjects = field(
        default_factory=lambda: SimulatedObjects(Requests()), compare=False
    )

    @property
    def objects(self) -> SimulatedObjects:
        """The objects, without a client of obstore."""
        return self.simulated

    def has(self, table: str, doing: str = "") -> bool:
        """Return True if the table has a log."""
        return any(name.endswith(".json") for name in self.simulated.log_names(table))

    def open(self, table: str, version: int | None = None) -> "DeltaTable":
        """Open a table without deltalake."""
        from tests.simulation.delta_table import SimulatedTable

        with storage_errors(self, f"read table {table}"):
            return SimulatedTable(self.simulated, table, version)
