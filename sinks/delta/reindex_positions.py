"""How far `reindex` is with a generation: numbers in the log of `episodes`."""

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
    """The last offset of each origin whose events are in a new generation."""

    def __init__(
        self,
        storage: Storage,
        streams: Mapping[str, StreamId],
        owned: Sequence[Partition],
        generation: int,
        kind: str,
        retry_s: float = 60.0,
    ) -> None:
        """Nothing is read yet.

        Args:
            storage: the lake.
            streams: topic id -> its log.
            owned: all origins.
            generation: that is being filled.
            kind: of the memories that it is filled with; those of another kind, begun
                under the same number, have positions of their own.
            retry_s: how long to try again while storage is not available.
        """
        self.generation = generation
        self._storage = storage
        self._retry_s = retry_s
        self._names = {
            partition: replace(
                streams[partition.topic_id], flow=f"reindex/{generation}/{kind}"
            ).app_id(EPISODES, partition.number)
            for partition in owned
        }

    def read(self) -> dict[Partition, int] | None:
        """Partition -> last offset, -1 for none; None if it was never begun.

        Raises:
            StorageUnavailable: the log cannot be read within `retry_s`.
        """
        return retry(self._read_once, on=StorageUnavailable, seconds=self._retry_s)

    def write(self, reached: Mapping[Partition, int]) -> None:
        """Note how far it is; the flow `memory` is not disturbed by that.

        Raises:
            StorageUnavailable: the log takes no commit within `retry_s`.
        """
        retry(
            lambda: self._write_once(reached),
            on=StorageUnavailable,
            seconds=self._retry_s,
        )

    def _read_once(self) -> dict[Partition, int] | None:
        with storage_errors(self._storage, f"read table {EPISODES}"):
            handle = self._storage.open(EPISODES)
            found = {o: handle.transaction_version(n) for o, n in self._names.items()}
        if all(at is None for at in found.values()):
            return None
        return {o: NEVER_READ if at is None else at for o, at in found.items()}

    def _write_once(self, reached: Mapping[Partition, int]) -> None:
        numbers = [Transaction(self._names[o], at) for o, at in reached.items()]
        try:
            handle = self._storage.open(EPISODES)
            handle.create_write_transaction(
                [], "append", handle.schema(), handle.metadata().partition_columns,
                commit_properties=CommitProperties(app_transactions=numbers),
            )  # fmt: skip
        except FAILURES as error:
            doing = f"commit to table {EPISODES}"
            raise translate(self._storage, doing, error) from error
