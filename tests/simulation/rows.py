"""Records of a topic, rows of them, and data files that are rows in memory."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import pyarrow as pa
from deltalake.transaction import AddAction

from schemas.arrow import DECODED_DEAD_LETTERS, DECODED_EVENTS
from semloop import tables
from semloop.delta.file_name import FileName
from semloop.delta.streams import Partition
from semloop.lake.generations import EPISODES
from sinks.delta.parquet_file import file_statistics, statistics_json
from sinks.delta.table_log import TableLog
from tests.simulation.store import SimulatedObjects
from tests.support.builders import NOW

# The columns of `episodes` that a `Revision` has.
REVISION = (
    "topic_id", "kafka_partition", "session_id", "first_offset", "kafka_offset",
    "events", "revision", "state",
)  # fmt: skip


class Origin(NamedTuple):
    """Where a row came from."""

    topic_id: str
    partition: int
    offset: int


class Revision(NamedTuple):
    """A row of `episodes`: the events of a session from one offset to another."""

    topic_id: str
    partition: int
    session: int
    first: int
    last: int = -1
    events: int = 0
    number: int = 0
    closed: bool = False

    @property
    def episode_id(self) -> str:
        return f"{self.topic_id}-{self.partition}-{self.session}-{self.first}"

    @property
    def place(self) -> Partition:
        return Partition(self.topic_id, self.partition)

    @property
    def origin(self) -> Origin:
        return Origin(self.topic_id, self.partition, self.last)


def newest(revisions: Iterable[Revision]) -> tuple[Revision, ...]:
    """Return the newest revision of each episode."""
    found = {r.episode_id: r for r in sorted(revisions, key=lambda r: r.number)}
    return tuple(found.values())


class Rows(NamedTuple):
    """The content of a data file: origins, and bounds of the time of ingestion.

    `foreign`: a record was read from another topic than its origin says. `revisions`:
    the rows, if the table is `episodes`.
    """

    origins: tuple[Origin, ...]
    oldest: datetime
    newest: datetime
    foreign: bool = False
    revisions: tuple[Revision, ...] = ()


class SimulatedLog(TableLog):
    """The log as flows use it; only the bytes of data files are left out."""

    def write(self, rows: pa.Table) -> AddAction:
        """Keep the origins of rows as a data file."""
        names = ("topic_id", "kafka_partition", "kafka_offset")
        columns = (rows[name].to_pylist() for name in names)
        times = rows["ingested_at"].to_pylist()
        origins = tuple(map(Origin, *columns))
        if self.name == EPISODES:
            revisions = revisions_of(rows)
            content = Rows(origins, min(times), max(times), False, revisions)
            return self._put(rows, content)
        ids = rows["id" if "reason" in rows.column_names else "event_id"].to_pylist()
        foreign = ids != [_id(*origin) for origin in origins]
        return self._put(rows, Rows(origins, min(times), max(times), foreign))

    def _put(self, rows: pa.Table, content: Rows) -> AddAction:
        name = FileName(first=self.version + 1).new()
        path = f"date={rows['date'][0].as_py()}/{name}"
        return put_rows(self._storage.objects, self.name, path, content)  # type: ignore[arg-type]


def revisions_of(rows: pa.Table) -> tuple[Revision, ...]:
    """Return rows of `episodes`."""
    return tuple(
        Revision(
            row["topic_id"], row["kafka_partition"], int(row["session_id"]),
            row["first_offset"], row["kafka_offset"], row["events"], row["revision"],
            row["state"] == "closed",
        )
        for row in rows.select(REVISION).to_pylist()
    )  # fmt: skip


def put_rows(
    store: SimulatedObjects, table: str, path: str, content: Rows
) -> AddAction:
    """Write a data file; returns its action for the log."""
    store.store(f"{table}/{path}", b"rows", content)
    return AddAction(
        path=path,
        size=len(content.origins),
        partition_values={"date": path.partition("/")[0].removeprefix("date=")},
        modification_time=int(store.requests.machine_s() * 1_000),
        data_change=True,
        stats=statistics_json(statistics_of(content)),
    )


def statistics_of(content: Rows) -> dict[str, object]:
    """Return the statistics that the log keeps of a file."""
    topics, partitions, offsets = zip(*content.origins, strict=True)
    return file_statistics(
        len(content.origins),
        [
            ("topic_id", min(topics), max(topics), 0),
            ("kafka_partition", min(partitions), max(partitions), 0),
            ("kafka_offset", min(offsets), max(offsets), 0),
            ("ingested_at", content.oldest, content.newest, 0),
        ],
    )


def rows_of(
    topic_id: str,
    read_from: str,
    places: Iterable[tuple[int, int]],
    *,
    letters: bool,
    count: int,
) -> pa.RecordBatch:
    """Return events or dead letters of these (partition, offset).

    `read_from`: id of the topic that the records are of, which may be another one.
    """
    batch = _letters(topic_id, read_from, count)
    if not letters:
        batch = _events(topic_id, read_from, count)
    rows: Sequence[int] = [p * count + o for p, o in places]
    return batch.take(pa.array(rows, pa.int64()))


@cache
def _events(topic_id: str, read_from: str, count: int) -> pa.RecordBatch:
    """Return `count` events of each of three partitions."""
    given = {"type": "message", "ts": NOW, "payload": "{}"}
    rows = [
        given
        | row
        | {"event_id": _id(read_from, row["kafka_partition"], row["kafka_offset"])}
        for row in _origins(topic_id, count)
    ]
    return pa.RecordBatch.from_pylist(rows, DECODED_EVENTS)


@cache
def _letters(topic_id: str, read_from: str, count: int) -> pa.RecordBatch:
    """Return `count` dead letters of each of three partitions."""
    given = {"reason": "not_json", "raw": b"x"}
    rows = [
        given
        | row
        | {"id": _id(read_from, row["kafka_partition"], row["kafka_offset"])}
        for row in _origins(topic_id, count)
    ]
    return pa.RecordBatch.from_pylist(rows, DECODED_DEAD_LETTERS)


def _origins(topic_id: str, count: int) -> list[dict[str, Any]]:
    places = [(p, o) for p in range(3) for o in range(count)]
    return [
        dict(zip(tables.ORIGIN, ("agent-events", topic_id, p, o, NOW), strict=True))
        for p, o in places
    ]


def _id(topic_id: str, partition: int, offset: int) -> str:
    return f"{topic_id}-{partition}-{offset}"
