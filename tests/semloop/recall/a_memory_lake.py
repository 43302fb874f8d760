"""A lake with memories as the flow `memory` writes them, created without the flow."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, Transaction, write_deltalake

from schemas import arrow
from schemas.arrow import MEMORY_TEXTS
from semloop import Lake
from semloop.delta.streams import StreamId
from semloop.embedders.hashing import Hashing
from semloop.lake import generations
from semloop.lake.recall.features import pack, positions, words
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from sinks.vectors.table import WORDS, words_index

LOG = StreamId("memory", "cluster-1", "agent-events", "topic-1")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HASHING = Hashing()
Row = dict[str, Any]


def episode_id(name: str) -> str:
    """Return the id of a test's episode."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def a_message(text: str, episode: str = "e", **fields: Any) -> Row:
    """Return a memory of a message; `remember` adds offset, `seq` and context."""
    row = {
        "kind": "event", "type": "message", "part": 0, "text": text, "ts": NOON,
        "agent": "booker", "session_id": f"s-{episode}", "namespace": "default",
        "episode_id": episode_id(episode), "topic": LOG.topic,
        "topic_id": LOG.topic_id, "kafka_partition": 0, "kafka_ts": NOON,
    }  # fmt: skip
    return row | fields


def an_episode(text: str, episode: str = "e", **fields: Any) -> Row:
    """Return a memory of a closed episode."""
    return a_message(text, episode, kind="episode", type=None, seq=None, **fields)


def closed(episode: str = "e", **fields: Any) -> Row:
    """Return a closed revision of an episode."""
    return {
        "episode_id": episode_id(episode), "revision": 1, "state": "closed",
        "session_id": f"s-{episode}", "kafka_partition": 0,
        "topic_id": LOG.topic_id, "ingested_at": NOON, "date": NOON.date(),
    } | fields  # fmt: skip


def texts(hits: pa.Table) -> list[str]:
    """Return the texts of the memories that `recall` found."""
    column: list[str] = hits["text"].to_pylist()
    return column


class MemoryLake:
    """Writes memories and episodes in the order of the flow."""

    def __init__(self, settings: Settings, generation: int = 1) -> None:
        self.settings = settings
        self.storage = Storage.of(settings)
        self.generation = generation
        self._next = 0
        self._memories: Any = None

    def remember(self, *rows: Row) -> None:
        """Write memories only; they are not visible until `commit`."""
        table = self._completed(rows)
        if self._memories is None:
            folder = generations.connect(self.storage)
            name = generations.table_name(self.generation)
            self._memories = folder.create_table(name, table)
            self._memories.create_index(WORDS, config=words_index())
        else:
            self._memories.add(table)

    def replace(self, row: Row) -> None:
        """Write a memory again, which has the `kafka_offset` of an earlier one."""
        merge = self.table.merge_insert("id").when_matched_update_all()
        merge.execute(self._completed([row]))

    @property
    def table(self) -> Any:
        """The table of the memories in LanceDB."""
        return self._memories

    def commit(self, *episodes: Row, upto: int | None = None) -> None:
        """Commit episodes and the last visible offset, by default that of all rows."""
        offset = self._next - 1 if upto is None else upto
        open_one = closed("open", state="open")
        rows = [row | {"kafka_offset": offset} for row in (open_one, *episodes)]
        self.commit_revisions(pa.Table.from_pylist(rows, arrow.EPISODES), offset)

    def commit_revisions(self, revisions: pa.Table, offset: int) -> None:
        """Commit revisions of episodes, and the last visible offset."""
        numbers = {
            LOG.app_id(generations.EPISODES, 0): offset,
            generations.GENERATION: self.generation,
        }
        stamp = {"ingested_at": NOON, "date": NOON.date()}
        rows = [stamp | row for row in revisions.to_pylist()]
        self._write("episodes", arrow.EPISODES, rows, numbers)
        if not self.storage.has("streams"):
            row = {
                "flow": "memory", "table_name": "episodes", "kafka_partition": 0,
                "cluster_id": LOG.cluster_id, "topic": LOG.topic,
                "topic_id": LOG.topic_id, "first_seen": NOON,
            }  # fmt: skip
            self._write("streams", arrow.STREAMS, [row], {})

    def open(self) -> Lake:
        """Open the lake; its `recall` shows every commit without delay."""
        return Lake(settings=self.settings, stale_s=0)

    def _write(
        self,
        table: str,
        schema: pa.Schema,
        rows: Sequence[Row],
        numbers: dict[str, int],
    ) -> None:
        transactions = [Transaction(name, n) for name, n in numbers.items()]
        write_deltalake(
            self.storage.uri(table),
            pa.Table.from_pylist(list(rows), schema),
            mode="append",
            partition_by=["date"] if "date" in schema.names else None,
            storage_options=self.storage.current_options or None,
            commit_properties=CommitProperties(app_transactions=transactions),
        )

    def _completed(self, rows: Sequence[Row]) -> pa.Table:
        return pa.Table.from_pylist(
            [self._complete(row) for row in self._positioned(rows)],
            arrow.memories(HASHING.dimension, HASHING.model_id),
        )

    def _positioned(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Add offsets in order, and `seq` and context within each episode."""
        positioned = []
        for (_, kind), group in groupby(
            rows, lambda row: (row["episode_id"], row["kind"])
        ):
            before = None
            for n, row in enumerate(group):
                position = {"kafka_offset": self._next, "context": before}
                self._next += 1
                position["seq"] = n if kind == "event" else None
                positioned.append(position | row)
                before = row["text"]
        return positioned

    def _complete(self, row: Row) -> Row:
        """Add the columns that derive from others, with the vector."""
        row = dict(row)
        line = f"{row['agent']}: {row['text']}"
        context = row.pop("context")
        origin = f"{row['topic_id']}/0/{row['kafka_offset']}/{row['part']}"
        id_ = (
            bytes.fromhex(row["episode_id"])
            if row["kind"] == "episode"
            else hashlib.blake2b(origin.encode(), digest_size=16).digest()
        )
        complete = row | {
            "id": id_,
            "search_text": f"{context}\n{line}" if context else line,
            "vector": row.get("vector", HASHING.embed([line])[0]),
            "model": HASHING.model_id,
            "started_at": row["ts"],
            "event_ids": [f"event-{row['kafka_offset']}"],
            "writer": 1,
        }
        source = pa.Table.from_pylist([complete], MEMORY_TEXTS)
        return complete | {
            "features": pack(source)[0].as_py(),
            "words": words(source)[0].as_py(),
            "position": positions(source["episode_id"], source["seq"])[0].as_py(),
        }


def a_memory_lake(folder: Path, *rows: Row, episodes: Sequence[Row] = ()) -> MemoryLake:
    """Create a lake in which these memories are visible."""
    folder.mkdir(exist_ok=True)
    lake = MemoryLake(load(lake=str(folder), embedder="hashing"))
    lake.remember(*rows)
    lake.commit(*episodes)
    return lake


def ago(**length: float) -> datetime:
    """Return the time a duration before now."""
    return datetime.now(UTC) - timedelta(**length)
