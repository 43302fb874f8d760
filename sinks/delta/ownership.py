"""What a writer owns of a table, and one commit on its way there."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from deltalake.transaction import AddAction

from semloop.delta.fence import FENCE, Fence
from semloop.delta.streams import NEVER_READ, Partition
from sinks.delta.delta_log import DeltaLog


@dataclass(frozen=True)
class Ownership:
    """The offsets and fences of a writer's partitions, as one of its commits stores.

    `commits` is how many it made since it took the partitions over.
    """

    epochs: Mapping[Partition, int]
    offsets: Mapping[Partition, int]
    commits: int = 0

    def next(self, offsets: Mapping[Partition, int]) -> "Ownership":
        """The ownership that the next commit stores.

        An offset never decreases, even if the broker reports an earlier end of its log.
        """
        moved = {
            p: max(offset, self.offsets.get(p, NEVER_READ))
            for p, offset in offsets.items()
        }
        return Ownership(self.epochs, {**self.offsets, **moved}, self.commits + 1)

    def fences(self) -> dict[Partition, Fence]:
        """The fence of each partition."""
        return {p: Fence(epoch, self.commits) for p, epoch in self.epochs.items()}

    def numbers(self) -> dict[tuple[Partition, str], int]:
        """All that is stored of it, by (partition, kind); kind "" is the offset."""
        offsets = {(p, ""): offset for p, offset in self.offsets.items()}
        return offsets | {(p, FENCE): f.pack() for p, f in self.fences().items()}


@dataclass(frozen=True)
class PendingCommit:
    """A commit from its first attempt until the log is known to have it, or not."""

    log: DeltaLog
    rows: pa.Table | None
    transactions: Mapping[str, int]
    before: Ownership
    after: Ownership

    @cached_property
    def files(self) -> tuple[AddAction, ...]:
        """The rows in a file, written once for all attempts; empty without rows."""
        if self.rows is None or not self.rows.num_rows:
            return ()
        return (self.log.write(self.rows),)

    def attempt(self) -> None:
        """Write the file if need be, and commit; raises `commit_error.FAILURES`."""
        self.log.commit(self.files, self.transactions)
