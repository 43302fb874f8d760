"""A maintainer whose storage runs an action before each of its requests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import duckdb

from operators.compaction import plan
from schemas.batches import Merge
from schemas.compaction import MergedFile
from semloop.lake.lake import Lake
from semloop.storage.location import Storage
from sinks.compaction.active_files import ActiveFiles
from sinks.compaction.log_entry import Outcome, commit_merged
from sinks.compaction.merged_file import write_merged
from sources.lake.table_dates import table_dates

RETRY_S = 60.0
Request = Callable[[str, str], None]


@dataclass(frozen=True)
class SteppedStorage(Storage):
    """Calls `before` and `after` around each request: (method, name of the file)."""

    before: Request = field(default=lambda method, name: None, compare=False)
    after: Request = field(default=lambda method, name: None, compare=False)

    def create(self, name: str, data: bytes) -> bool:
        self.before("create", name)
        created = super().create(name, data)
        self.after("create", name)
        return created

    def read(self, name: str) -> bytes | None:
        self.before("read", name)
        return super().read(name)

    def replace(self, name: str, data: bytes) -> None:
        self.before("replace", name)
        super().replace(name, data)

    def put_file(self, name: str, path: Path, storage_class: str = "") -> None:
        self.before("put_file", name)
        super().put_file(name, path, storage_class)


def due(storage: Storage, table: str = "events") -> list[Merge]:
    """Return the merges of a table as if all dates were over."""
    items = table_dates(storage, date.max, [table])
    return [merge for item in items for merge in plan(replace(item, closed=True))]


def compact(storage: Storage, table: str = "events") -> list[Outcome]:
    """Merge all files of a table, like flow `compact` for dates that are over."""
    return [commit(storage, write_merged(storage, m)) for m in due(storage, table)]


def commit(storage: Storage, file: MergedFile) -> Outcome:
    active = ActiveFiles(storage, file.merge.table)
    return commit_merged(storage, active, file, RETRY_S)


def requests(storage: Storage, action: Callable[[SteppedStorage], object]) -> int:
    """Return how many requests an action makes."""
    seen: list[str] = []
    action(SteppedStorage(storage.root, before=lambda *request: seen.extend(request)))
    return len(seen) // 2


def at_request(number: int, action: Callable[[], object]) -> Request:
    """Run an action before the request with this number, counted from 0."""
    left = iter(range(number + 1))

    def before(method: str, name: str) -> None:
        if next(left, None) == number:
            action()

    return before


def in_turn(*steps: Request) -> Request:
    """Do the one thing before a request, and the other."""

    def before(method: str, name: str) -> None:
        for step in steps:
            step(method, name)

    return before


def rows_in_files(storage: Storage, table: str = "events") -> list[tuple[int, int]]:
    """Return (partition, offset) of the rows of all active files, which must exist."""
    uris = [unquote(uri) for uri in storage.open(table).file_uris()]
    rows = duckdb.read_parquet(uris).project("kafka_partition, kafka_offset")
    return sorted(rows.fetchall())


def rows_in_lake(storage: Storage, table: str = "events") -> list[tuple[int, int]]:
    """Return (partition, offset) of the rows that DuckDB's own reader of logs sees."""
    with Lake(storage.root) as lake:
        query = f"SELECT kafka_partition, kafka_offset FROM tables.{table}"
        return sorted(lake.sql(query).fetchall())


def file_count(storage: Storage, table: str = "events") -> int:
    return len(storage.open(table).file_uris())


def data_files(storage: Storage, table: str = "events") -> Iterator[Path]:
    """Return all data files, those that no version has included."""
    yield from Path(storage.uri(table)).glob("date=*/*.parquet")
