"""A writer's ownership of partitions, and a commit that is in progress."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from deltalake.transaction import AddAction

from semloop.delta.fence import FENCE, Fence
from semloop.delta.streams import NEVER_READ, Partition
from sinks.delta.delta_log import DeltaLog

# A process may be suspended between a file and its commit. A vacuum deletes a file that
# no log has after twice this time, by the clock of the storage; that of a machine that
# was suspended may have stopped.
FILE_S_MAX = 12 * 3_600.0


@dataclass(frozen=True)
class Ownership:
    """The offsets and fences of a writer's partitions after one of its commits.

    `commits` counts the writer's commits since it took over the partitions.
    """

    epochs: Mapping[Partition, int]
    offsets: Mapping[Partition, int]
    commits: int = 0

    def next(self, offsets: Mapping[Partition, int]) -> "Ownership":
        """Return the ownership that the next commit stores.

        An offset never decreases, even if the broker reports an earlier end of its log.
        """
        moved = {
            p: max(offset, self.offsets.get(p, NEVER_READ))
            for p, offset in offsets.items()
        }
        return Ownership(self.epochs, {**self.offsets, **moved}, self.commits + 1)

    def fences(self) -> dict[Partition, Fence]:
        """Return the fence of each partition."""
        return {p: Fence(epoch, self.commits) for p, epoch in self.epochs.items()}

    def numbers(self) -> dict[tuple[Partition, str], int]:
        """Return the numbers to store by (partition, kind); kind "" is the offset."""
        offsets = {(p, ""): offset for p, offset in self.offsets.items()}
        return offsets | {(p, FENCE): f.pack() for p, f in self.fences().items()}


@dataclass(frozen=True)
class PendingCommit:
    """A commit whose result is not known yet."""

    log: DeltaLog
    rows: pa.Table | None
    transactions: Mapping[str, int]
    before: Ownership
    after: Ownership

    @cached_property
    def files(self) -> tuple[AddAction, ...]:
        """The rows in a file, written once for all attempts; empty without rows.

        Written again if it has waited for its commit for hours.
        """
        if self.rows is None or not self.rows.num_rows:
            return ()
        return (self.log.write(self.rows),)

    def attempt(self) -> None:
        """Write the file at the first attempt, and commit.

        The first attempt needs no look at the age of the file: a vacuum that deletes it
        puts an entry, by which that attempt is refused.

        Raises the errors in `commit_error.FAILURES`.
        """
        written = self.__dict__.get("files", ())
        if any(self.log.age_s(file) > FILE_S_MAX for file in written):
            del self.__dict__["files"]
        self.log.commit(self.files, self.transactions)
