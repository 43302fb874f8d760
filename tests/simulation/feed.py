"""Events that a calm `archive` stores, for the flows that read the lake."""

import json
from collections.abc import Iterable

from semloop.delta.log_entry import entry_name
from semloop.delta.streams import Partition, StreamId, Streams
from semloop.errors import StorageUnavailable
from semloop.flow_registry import ARCHIVE, MEMORY
from semloop.retry import retry
from semloop.storage.errors import storage_errors
from tests.simulation.delta_log import add_action
from tests.simulation.rows import Origin, Rows, put_rows
from tests.simulation.store import SimulatedObjects, SimulatedStorage
from tests.support.builders import NOW

TOPIC_ID = "topic-0"
ARCHIVED = StreamId(ARCHIVE.name, "cluster-1", "agent-events", TOPIC_ID)
REMEMBERED = StreamId(MEMORY.name, "cluster-1", "agent-events", TOPIC_ID)
STREAMS = Streams.of(REMEMBERED)
# Every fifth record is a dead letter, so that not every offset is an event.
DEAD_EVERY = 5


class Feed:
    """Appends to `events`, a few records of one partition at a time.

    `ends`: partition -> the last offset that is stored.
    """

    def __init__(self, store: SimulatedObjects, records: int) -> None:
        self._store, self._records = store, records
        self.ends = dict.fromkeys(range(3), -1)
        self._version = 0

    def append(self, partition: int, count: int) -> None:
        """Store the next records of a partition, without a fault."""
        first = self.ends[partition] + 1
        last = min(first + count, self._records) - 1
        if last < first:
            return
        self.ends[partition] = last
        self._version += 1
        app_id = ARCHIVED.app_id("events", partition)
        entry: list[dict[str, object]] = [{"txn": {"appId": app_id, "version": last}}]
        origins = tuple(Origin(TOPIC_ID, partition, o) for o in events(first, last))
        if origins:
            path = f"date=2027-01-15/part-{self._version}.parquet"
            file = put_rows(self._store, "events", path, Rows(origins, NOW, NOW))
            entry.append({"add": add_action(file)})
        data = "\n".join(map(json.dumps, entry)).encode()
        self._store.store(entry_name("events", self._version), data, entry)


def events(first: int, last: int) -> list[int]:
    """Return the offsets from one to another that are events."""
    return [o for o in range(first, last + 1) if o % DEAD_EVERY != DEAD_EVERY - 1]


def stored_ends(storage: SimulatedStorage) -> dict[Partition, int]:
    """Read how far `events` goes: partition -> last offset."""

    def once() -> dict[Partition, int]:
        with storage_errors(storage, "read table events"):
            handle = storage.open("events")
            return {
                Partition(TOPIC_ID, p): found
                for p in range(3)
                if (found := handle.transaction_version(ARCHIVED.app_id("events", p)))
                is not None
            }

    return retry(once, on=StorageUnavailable, seconds=60.0)


def partitions(numbers: Iterable[int]) -> list[Partition]:
    """Return partitions of the topic."""
    return [Partition(TOPIC_ID, number) for number in numbers]
