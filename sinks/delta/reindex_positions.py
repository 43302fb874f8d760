"""Progress in filling a generation, stored in the log of `episodes`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from deltalake import CommitProperties, Transaction

from semloop.delta.streams import NEVER_READ, Partition, StreamId
from semloop.errors import StorageUnavailable
from semloop.lake.generations import EPISODES
from semloop.retry import retry
from semloop.storage.errors import storage_errors, translate
from semloop.storage.location import Storage
from sinks.delta.commit_error import FAILURES


class ReindexPositions:
    """Partition -> last offset whose events are in a new generation."""

    def __init__(
        self,
        storage: Storage,
        streams: Mapping[str, StreamId],
        owned: Sequence[Partition],
        filling: str,
        retry_s: float = 60.0,
    ) -> None:
        """Open no table yet.

        Args:
            storage: the lake.
            streams: topic id -> stream.
            owned: all partitions.
            filling: names the flow, the generation, and the settings of its memories:
                one that was started with others has separate positions.
            retry_s: how long to retry while storage is unavailable, seconds.
        """
        self._storage = storage
        self._retry_s = retry_s
        self._names = {
            partition: replace(streams[partition.topic_id], flow=filling).app_id(
                EPISODES, partition.number
            )
            for partition in owned
        }

    def read(self) -> dict[Partition, int] | None:
        """Return partition -> last offset, -1 for none; None if nothing is stored.

        Raises:
            StorageUnavailable: the log cannot be read within `retry_s`.
        """
        return retry(self._read_once, on=StorageUnavailable, seconds=self._retry_s)

    def write(self, reached: Mapping[Partition, int]) -> None:
        """Store the positions; the commit does not conflict with those of `memory`.

        Raises:
            StorageUnavailable: the commit did not succeed within `retry_s`.
        """
        retry(
            lambda: self._write_once(reached),
            on=StorageUnavailable,
            seconds=self._retry_s,
        )

    def _read_once(self) -> dict[Partition, int] | None:
        with storage_errors(self._storage, f"read table {EPISODES}"):
            handle = self._storage.open(EPISODES)
            offsets = {
                partition: handle.transaction_version(name)
                for partition, name in self._names.items()
            }
        if all(offset is None for offset in offsets.values()):
            return None
        return {p: NEVER_READ if o is None else o for p, o in offsets.items()}

    def _write_once(self, reached: Mapping[Partition, int]) -> None:
        numbers = [Transaction(self._names[p], offset) for p, offset in reached.items()]
        try:
            handle = self._storage.open(EPISODES)
            handle.create_write_transaction(
                [], "append", handle.schema(), handle.metadata().partition_columns,
                commit_properties=CommitProperties(app_transactions=numbers),
            )  # fmt: skip
        except FAILURES as error:
            doing = f"commit to table {EPISODES}"
            raise translate(self._storage, doing, error) from error
