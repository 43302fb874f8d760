"""A Delta table with one writer: rows, offsets and fences in one commit.

Every commit carries the offset and the fence of every partition that the writer owns,
changed or not. Therefore any two writers of a partition conflict, an older one fails at
its next commit, and after a lost reply the writer can distinguish its own commit from
another writer's. docs/adr/0003 describes the rules.
"""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
from deltalake import DeltaTable

from semloop.delta.fence import Fence
from semloop.delta.streams import NEVER_READ, Partition, Streams
from semloop.errors import StorageUnavailable, Terminal
from semloop.retry import retry
from sinks.delta.checked_log import CheckedLog
from sinks.delta.commit_error import FAILURES, CommitFailure, commit_failure
from sinks.delta.delta_log import DeltaLog
from sinks.delta.ownership import Ownership, PendingCommit


class RowsRejected(Terminal):
    """The table cannot store these rows because of their values."""


class FencedTable:
    """A table and this writer's ownership of some of its partitions.

    Not thread-safe; one per worker and table. `take` must succeed before `commit`.
    """

    def __init__(
        self,
        log: DeltaLog,
        names: Streams,
        owned: Sequence[Partition],
        retry_s: float = 60.0,
        on_retry: Callable[[str, str], None] = lambda table, cause: None,
    ) -> None:
        """The writer owns nothing until `take` succeeds.

        Args:
            log: the table.
            names: app ids of the partitions.
            owned: partitions to take over.
            retry_s: how long `commit` retries while storage is unavailable, seconds.
            on_retry: called with the table's name and the cause of a failed attempt.
        """
        self._log = log
        self._checked = CheckedLog(log, names)
        self._owned = tuple(owned)
        self._retry_s = retry_s
        self._on_retry = on_retry
        self._own: Ownership = Ownership({}, {})
        self._commits_since_open = 0

    @property
    def name(self) -> str:
        """The table's folder in the lake."""
        return self._log.name

    @property
    def handle(self) -> DeltaTable:
        """The open version, for readers of its files."""
        return self._log.handle

    @property
    def owned(self) -> Sequence[Partition]:
        """The partitions that this writer takes over."""
        return self._owned

    @property
    def offsets(self) -> Mapping[Partition, int]:
        """Owned partition -> last offset read past, -1 if it was never read."""
        return self._own.offsets

    @property
    def commits_since_open(self) -> int:
        """Number of commits that the handle has followed; each makes it slower."""
        return self._commits_since_open

    def stored(self, partition: Partition, kind: str = "") -> int | None:
        """Return a number that the open version stores for a partition.

        `kind`: empty for the last offset, `/fence`, or the name of another number.

        Raises:
            StorageUnavailable: the log cannot be read.
        """
        return self._checked.stored(partition, kind)

    def number(self, app_id: str) -> int | None:
        """Return a number that belongs to no partition; raises as `stored`."""
        return self._log.stored(app_id)

    def epoch(self, partition: Partition) -> int:
        """Return the epoch of the partition's owner, 0 if it never had one."""
        return self._checked.fence(partition).epoch

    def has_fences(self, epochs: Mapping[Partition, int]) -> bool:
        """True if a `take` stored these epochs and no commit followed it."""
        return all(self._checked.fence(p) == Fence(e) for p, e in epochs.items())

    def refresh(self) -> None:
        """Open the newest version, whichever writer owns it; raises as `stored`."""
        self._log.reopen()
        self._commits_since_open = 0

    def take(
        self, epochs: Mapping[Partition, int], also: Mapping[str, int] | None = None
    ) -> bool:
        """Try once to fence off all other writers, on top of the open version.

        Args:
            epochs: epoch of every owned partition.
            also: further int64s by app id, for the same commit.

        Returns:
            False if another writer committed meanwhile: refresh, compute the epochs
            again, retry.

        Raises:
            TakenOver: a rival took over right after this commit.
            StorageUnavailable: the log may or may not contain the fence.
        """
        stored = {p: self.stored(p) for p in self._owned}
        offsets = {p: NEVER_READ if o is None else o for p, o in stored.items()}
        self._own = Ownership(dict(epochs), offsets)
        self._checked.begin()
        numbers = self._checked.transactions(self._own.numbers())
        try:
            self._log.commit((), numbers | dict(also or {}))
        except FAILURES as error:
            if commit_failure(error) is CommitFailure.STORAGE:
                raise self._log.explain(error) from error
            return False
        self._checked.follow_takeover(self._own)
        return True

    def commit(
        self,
        rows: pa.Table | None,
        offsets: Mapping[Partition, int],
        numbers: Mapping[tuple[Partition, str], int] | None = None,
    ) -> None:
        """Append rows together with the offsets that the table then contains.

        Args:
            rows: in the table's own schema; None for offsets alone.
            offsets: partition -> last offset read past; other partitions keep theirs.
            numbers: further int64s by (partition, kind), for example `/caught_up_ms`.

        Raises:
            TakenOver: a newer writer owns a partition; nothing was written.
            RowsRejected: the rows cannot be stored; nothing was written.
            StorageUnavailable: storage did not recover within `retry_s`; only another
                `take` shows whether the rows were written.
            LakeError: the table lost earlier commits, or is not writable.
        """
        before, after = self._own, self._own.next(offsets)
        transactions = self._checked.transactions(after.numbers() | dict(numbers or {}))
        pending = PendingCommit(self._log, rows, transactions, before, after)
        self._own = after
        try:
            retry(
                lambda: self._attempt(pending),
                on=StorageUnavailable,
                seconds=self._retry_s,
            )
        except RowsRejected:
            self._own = before
            raise
        self._commits_since_open += 1

    def reopen(self) -> None:
        """Open the newest version and verify that this writer still owns the table.

        Raises:
            TakenOver: a newer writer owns a partition.
            StorageUnavailable: the log cannot be read.
            LakeError: the table lost earlier commits.
        """
        self._checked.reopen(self._own)
        self._commits_since_open = 0

    def check_fences(self) -> None:
        """Move to the newest version and compare fences; cheaper than `reopen`.

        Raises:
            TakenOver: a newer writer owns a partition.
            StorageUnavailable: the log cannot be read.
        """
        self._checked.follow_others(self._own)

    def _attempt(self, pending: PendingCommit) -> None:
        """Try to commit once; raises StorageUnavailable if a retry may succeed."""
        if not self._checked.is_current and self._is_stored(pending):
            return
        try:
            pending.attempt()
        except FAILURES as error:
            failure, cause = commit_failure(error), error
        else:
            self._checked.follow_commit(self._own)
            return
        self._on_retry(self.name, failure.value)
        if failure is CommitFailure.REFUSED:
            # The library's text may quote a value, so the error must not carry it, not
            # even as its context: therefore it is raised outside the handler.
            msg = f"Table {self.name} rejects rows: {type(cause).__name__}."
            raise RowsRejected(msg) from None
        if failure is not CommitFailure.CONTENTION:
            try:
                if self._is_stored(pending):
                    return
            except StorageUnavailable:
                pass  # The error of the commit is more specific.
        raise self._log.explain(cause) from cause

    def _is_stored(self, pending: PendingCommit) -> bool:
        stored = self._checked.is_stored(pending)
        self._commits_since_open = 0
        return stored
