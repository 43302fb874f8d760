"""What a writer owns of a table, and one commit on its way there."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol

import pyarrow as pa
from deltalake.transaction import AddAction
from typing_extensions import TypeVar

from semloop.delta.fence import FENCE, Fence
from sinks.delta.delta_log import DeltaLog

NEVER_READ = -1

# What a flow reads in parts that are each owned by one writer: the number of a
# partition, or an origin where several topics are read.
Key = TypeVar("Key", bound=Hashable, default=int)
Key_contra = TypeVar("Key_contra", bound=Hashable, contravariant=True)


class Names(Protocol[Key_contra]):
    """Under which app ids a table stores offsets and fences; `StreamId` is one."""

    def app_id(self, table: str, partition: Key_contra, /) -> str:
        """Name of the Delta `Transaction` that keeps a partition's last offset."""


@dataclass(frozen=True)
class Ownership(Generic[Key]):
    """The offsets and fences of a writer's partitions, as one of its commits stores.

    `commits` is how many it made since it took the partitions over.
    """

    epochs: Mapping[Key, int]
    offsets: Mapping[Key, int]
    commits: int = 0

    def next(self, offsets: Mapping[Key, int]) -> "Ownership[Key]":
        """The ownership that the next commit stores.

        An offset never decreases, even if the broker reports an earlier end of its log.
        """
        moved = {
            p: max(offset, self.offsets.get(p, NEVER_READ))
            for p, offset in offsets.items()
        }
        return Ownership(self.epochs, {**self.offsets, **moved}, self.commits + 1)

    def fences(self) -> dict[Key, Fence]:
        """The fence of each partition."""
        return {p: Fence(epoch, self.commits) for p, epoch in self.epochs.items()}

    def numbers(self) -> dict[tuple[Key, str], int]:
        """All that is stored of it, by (partition, kind); kind "" is the offset."""
        offsets = {(p, ""): offset for p, offset in self.offsets.items()}
        return offsets | {(p, FENCE): f.pack() for p, f in self.fences().items()}


@dataclass(frozen=True)
class PendingCommit(Generic[Key]):
    """A commit from its first attempt until the log is known to have it, or not."""

    log: DeltaLog
    rows: pa.Table | None
    transactions: Mapping[str, int]
    before: Ownership[Key]
    after: Ownership[Key]

    @cached_property
    def files(self) -> tuple[AddAction, ...]:
        """The rows in a file, written once for all attempts; empty without rows."""
        if self.rows is None or not self.rows.num_rows:
            return ()
        return (self.log.write(self.rows),)

    def attempt(self) -> None:
        """Write the file if need be, and commit; raises `commit_error.FAILURES`."""
        self.log.commit(self.files, self.transactions)
