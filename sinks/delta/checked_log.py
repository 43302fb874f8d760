"""A Delta log whose writer detects every commit that takes over a partition."""

from collections.abc import Mapping

from semloop.delta.fence import FENCE, Fence
from semloop.delta.streams import Partition, Streams
from semloop.errors import LakeError, StorageUnavailable, TakenOver
from sinks.delta.delta_log import DeltaLog
from sinks.delta.ownership import Ownership, PendingCommit


class CheckedLog:
    """A table's log, and the version up to which its fences were compared.

    The log moves to a new version before the fences of that version can be read, and
    the read may fail. A commit on top of a take-over does not conflict with it, so the
    fences of every version must be compared before the next commit.
    """

    def __init__(self, log: DeltaLog, names: Streams) -> None:
        self._log = log
        self._names = names
        self._version = log.version

    @property
    def is_current(self) -> bool:
        """True if the fences up to the open version were compared."""
        return self._log.version == self._version

    def stored(self, partition: Partition, kind: str = "") -> int | None:
        """Return a number that the open version stores for a partition."""
        return self._log.stored(self._app_id(partition) + kind)

    def fence(self, partition: Partition) -> Fence:
        """Return the fence that the open version stores for a partition."""
        return Fence.unpack(self.stored(partition, FENCE))

    def transactions(
        self, numbers: Mapping[tuple[Partition, str], int]
    ) -> dict[str, int]:
        """Convert numbers by (partition, kind) to numbers by app id, for a commit."""
        return {self._app_id(p) + kind: number for (p, kind), number in numbers.items()}

    def begin(self) -> None:
        """Start from the open version, which a writer is about to take over."""
        self._version = self._log.version

    def follow_commit(self, own: Ownership) -> None:
        """Move to the newest version, after a commit by this writer.

        Raises:
            TakenOver: another writer owns a partition. LakeError: the log lost earlier
                commits. StorageUnavailable: the log cannot be read, or the commit is
                not in the newest version.
        """
        if not self._follow(own, self._version + 1):
            # The next attempt finds that it is not stored.
            raise _without_effect(self._log.name)

    def follow_takeover(self, own: Ownership) -> None:
        """Move to the newest version, after a commit that took over the partitions.

        If the log was cleaned up meanwhile, it cannot tell whose fences it stores: a
        rival that took over from the same version stored the same ones. So the
        take-over counts as without effect; the next one stores higher epochs.

        Raises as `follow_commit`.
        """
        if not self._follow(own, self._version + 1, is_takeover=True):
            raise _without_effect(self._log.name)

    def follow_others(self, own: Ownership) -> None:
        """Move to the newest version, without a commit by this writer.

        Raises as `follow_commit`.
        """
        if not self._follow(own, self._version):
            raise _rolled_back(self._log.name)

    def reopen(self, own: Ownership) -> None:
        """Open the newest version from scratch, and check the writer's last commit.

        Raises as `follow_commit`.
        """
        if self._reopened_fences(own) != own.fences():
            raise _rolled_back(self._log.name)

    def is_stored(self, pending: PendingCommit) -> bool:
        """True if the newest version contains a commit, whose reply may have been lost.

        Raises as `follow_commit`; also LakeError if the previous commit is missing too.
        """
        stored = self._reopened_fences(pending.after)
        if stored == pending.after.fences():
            return True
        if stored != pending.before.fences():
            # No other writer stores these epochs: an acknowledged commit was lost.
            raise _rolled_back(self._log.name)
        return False

    def _reopened_fences(self, own: Ownership) -> dict[Partition, Fence]:
        self._log.reopen()
        stored = self._compare_stored(own)
        if any(fence.epoch < own.epochs[p] for p, fence in stored.items()):
            raise _rolled_back(self._log.name)
        self._version = self._log.version
        return stored

    def _follow(
        self, own: Ownership, expected_version: int, *, is_takeover: bool = False
    ) -> bool:
        """Move to the newest version; compare fences if it is not the expected one.

        A version at the expected number can only be this writer's own commit.

        Returns:
            False if the newest version lacks this writer's last commit.
        """
        self._log.follow()
        newest = self._log.version
        if newest != expected_version and not self._compare_entries(
            own, is_takeover=is_takeover
        ):
            return False
        self._version = newest
        return True

    def _compare_entries(self, own: Ownership, *, is_takeover: bool = False) -> bool:
        """Compare the fences of the entries since the version that was compared last.

        If the log was cleaned up before a commit was put, because the process was
        suspended for hours, the commit may be in the place of an entry that is gone.
        No version has it then: a checkpoint of a later version has taken its place. So
        the entry of the version before is looked at, too: it is gone as well.
        """
        fences = {self._app_id(p) + FENCE: p for p in own.epochs}
        compared = self._version
        for version, entry in enumerate(self._log.entries(compared - 1), compared):
            if entry is None:
                stored = self._compare_stored(own)
                return stored == own.fences() and not is_takeover
            # The version that was compared may have those of an earlier owner.
            for app_id, number in entry.items() if version > compared else ():
                partition = fences.get(app_id)
                if partition is None:
                    continue
                if Fence.unpack(number).epoch != own.epochs[partition]:
                    raise _taken_over(partition)
        return True

    def _compare_stored(self, own: Ownership) -> dict[Partition, Fence]:
        """Return the fences of the open version, if no newer writer has stored one.

        They may be of an earlier writer: a take-over that was put below a checkpoint
        has no effect.
        """
        stored = {p: self.fence(p) for p in own.epochs}
        for partition, fence in stored.items():
            if fence.epoch > own.epochs[partition]:
                raise _taken_over(partition)
        return stored

    def _app_id(self, partition: Partition) -> str:
        return self._names.app_id(self._log.name, partition)


def _rolled_back(table: str) -> LakeError:
    msg = f"Table {table} no longer contains the commits of this flow."
    todo = (
        "Find out who restored or removed files there, then start the flow again: it "
        "resumes from the state of the table."
    )
    return LakeError(msg, todo)


def _without_effect(table: str) -> StorageUnavailable:
    msg = f"The log of table {table} was cleaned up during a commit."
    return StorageUnavailable(msg, "Nothing is lost: the commit is repeated.")


def _taken_over(partition: Partition) -> TakenOver:
    msg = f"A newer copy of this flow took over partition {partition.number}."
    return TakenOver(msg, "It continues; this one stops. Nothing is lost.")
