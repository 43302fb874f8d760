"""Builder of table `episodes` for tests: commits like those of flow `memory`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import unquote

import duckdb
import pyarrow as pa

from schemas.arrow import EPISODES
from semloop.delta.streams import Partition, StreamId, Streams
from semloop.lake.lake import Lake
from semloop.storage.location import Storage
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.streams_table import register
from sinks.delta.table_log import TableLog
from sinks.delta.takeover import Takeover
from tests.support.builders import LOG, NOW

STREAM: StreamId = replace(LOG, flow="memory")
PARTITION = Partition(STREAM.topic_id, 0)
# (number of the episode, revision, state)
Row = tuple[int, int, str]


@dataclass
class EpisodesTable:
    """Writer of one partition; each commit is a second after the one before.

    `newest`: number of an episode -> its newest revision, which views must show.
    `refused`: causes of attempts that were refused.
    """

    storage: Storage

    def __post_init__(self) -> None:
        self.now = NOW
        self.newest: dict[int, Row] = {}
        self.refused: list[str] = []
        create(self.storage, "episodes")
        register(self.storage, STREAM, ("episodes",), [0], self.now, new_log=True)
        self.table = FencedTable(
            TableLog(self.storage, "episodes"),
            Streams.of(STREAM),
            [PARTITION],
            on_retry=lambda table, cause: self.refused.append(cause),
        )
        Takeover(self.table, []).run()
        self._offset = -1

    def commit(self, *touched: int, closed: Iterable[int] = ()) -> None:
        """Commit the next revision of some episodes; the closed ones get no further."""
        ending = set(closed)
        rows = []
        for number in touched:
            _, revision, state = self.newest.get(number, (number, 0, "open"))
            if state == "open":
                state = "closed" if number in ending else "open"
                self._offset += 1
                self.newest[number] = (number, revision + 1, state)
                rows.append(self._row(*self.newest[number]))
        read = {PARTITION: self._offset}
        self.table.commit(pa.Table.from_pylist(rows, EPISODES), read)
        self.now += timedelta(seconds=1)

    def _row(self, number: int, revision: int, state: str) -> dict[str, object]:
        return {
            "episode_id": f"e{number}", "revision": revision, "state": state,
            "session_id": f"s{number}", "namespace": "default", "started_at": NOW,
            "tags": ["é", ""], "summary": None if revision % 3 else f"at {revision}",
            "first_offset": number, "topic": STREAM.topic, "topic_id": STREAM.topic_id,
            "kafka_partition": 0, "kafka_offset": self._offset, "kafka_ts": NOW,
            "ingested_at": self.now, "date": self.now.date(),
        }  # fmt: skip

    def expected(self) -> list[Row]:
        """Return what the view must show."""
        return sorted(self.newest.values())

    def shown(self) -> list[Row]:
        """Return the rows of the view `episodes`."""
        with Lake(self.storage.root) as lake:
            found = lake.sql(f"{COLUMNS} FROM episodes ORDER BY ALL").fetchall()
        return [tuple(row) for row in found]

    def stored(self) -> list[Row]:
        """Return the revisions in the files of the newest version."""
        uris = [unquote(uri) for uri in self.storage.open("episodes").file_uris()]
        query = f"{COLUMNS} FROM read_parquet(?)"
        return sorted(duckdb.execute(query, [uris]).fetchall()) if uris else []


COLUMNS = "SELECT substr(episode_id, 2)::INT, revision, state"


def newest_of(rows: Iterable[Row]) -> list[Row]:
    """Return the newest revision of each episode."""
    return sorted({row[0]: row for row in sorted(rows)}.values())
