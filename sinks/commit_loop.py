"""The commit loop that all flows share: it decides when a flow commits.

Items are buffered until there are enough rows, until they have waited long enough, or
until the input ends. Items without rows (ticks) keep the loop running while the input
is idle. `FlowTables` contains what differs between flows.
"""

import time
from collections.abc import Callable
from typing import Generic

import structlog

from semloop.errors import (
    LakeError,
    StorageUnavailable,
    TakenOver,
    TooManyDeadLetters,
)
from semloop.settings import Settings
from sinks.delta.fenced_table import FencedTable
from sinks.flow_tables import FlowTables, Item

# Pause between checks of `may_commit` before a commit that cannot be postponed.
PERMISSION_POLL_S = 1.0

log = structlog.get_logger("commit")


class CommitLoop(Generic[Item]):
    """Passes items to the tables of one worker, and commits them when it is time.

    Unit of parallelism: a worker. Guarantee: that of the tables. A process that is
    stopped does not commit; the next one reads uncommitted records again.
    """

    def __init__(
        self,
        settings: Settings,
        tables: FlowTables[Item],
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start the commit intervals.

        Args:
            settings: bounds and intervals.
            tables: tables that this worker has taken over.
            clock: wall clock, seconds; it may be set back.
            wait: blocks for a number of seconds.
        """
        self.tables = tables
        self._settings = settings
        self._clock = clock
        self._wait = wait
        self._was_caught_up = False
        self._since_s: float | None = None
        self._opened_s = self._checked_s = self._committed_s = clock()

    def add(self, item: Item) -> None:
        """Buffer an item until the next commit, and commit when it is time.

        Raises:
            TakenOver: a newer writer owns a partition.
            LakeError: a table lost commits, or is not writable.
            StorageUnavailable: storage did not recover within `storage_retry_s`.
            TopicChanged: the topic was deleted or replaced by another one.
            TooManyDeadLetters: nothing of this commit is stored.
        """
        last = self.tables.add_to_buffer(item)
        self.tables.waits.buffer(item.progress.oldest_ms)
        if self._since_s is None and self.tables.waiting.has_changes:
            self._since_s = self._clock()
        try:
            self._act(last=last)
        except (TakenOver, LakeError) as error:
            explained = self.tables.explain(error)
            if explained is error:
                raise
            raise explained from None
        except TooManyDeadLetters as stop:
            self.tables.report_stop(stop)
            raise
        self.tables.beat(last=last)

    def _act(self, *, last: bool) -> None:
        now_s, waiting, settings = self._clock(), self.tables.waiting, self._settings
        idle_s = self.tables.idle_commit_s
        full = (
            waiting.rows >= settings.commits.rows
            or waiting.bytes >= settings.commits.bytes
        )
        waited = self._since_s is not None and _is_over(
            now_s, self._since_s, settings.commits.interval_s
        )
        idle = idle_s is not None and _is_over(now_s, self._committed_s, idle_s)
        ends = last and (waiting.has_changes or idle_s is not None)
        if full or ends:
            self._wait_and_commit()
        # If it may not commit, the rows stay buffered, and the next item checks again.
        elif (
            idle or (waiting.has_changes and (waited or self._has_just_caught_up()))
        ) and self.tables.may_commit():
            self._commit()
        self._check_if_due()

    def _has_just_caught_up(self) -> bool:
        """True at the first call after the backlog of the start was read.

        The first commit after catching up does not wait for the interval: readers have
        already waited through the restart.
        """
        if self._was_caught_up or not self.tables.is_caught_up():
            return False
        self._was_caught_up = True
        return True

    def _wait_and_commit(self) -> None:
        """Commit before reading more: the buffer is full, or the input has ended."""
        while not self.tables.may_commit():
            self._wait(PERMISSION_POLL_S)
            self._check_if_due()
            # It waits for the broker and does not hang.
            self.tables.beat(last=False)
        self._commit()

    def _commit(self) -> None:
        started_s, self._since_s = self._clock(), None
        self.tables.commit()
        self.tables.waits.commit()
        self._committed_s = self._checked_s = self._clock()
        # A handle gets slower with every commit that it follows.
        due = any(
            table.commits_since_open >= self._settings.commits.reopen_commits
            for table in self.tables.fenced
        )
        if due or _is_over(started_s, self._opened_s, self._settings.commits.reopen_s):
            self._reopen()

    def _reopen(self) -> None:
        """Verify with new handles that this writer still owns the tables."""
        if self._check_tables(FencedTable.reopen):
            self._opened_s = self._clock()

    def _check_if_due(self) -> None:
        """Detect a newer writer or a changed topic without a commit.

        An idle flow needs this, and a flow whose rows wait for `may_commit`.
        """
        now_s = self._clock()
        if _is_over(now_s, self._checked_s, self._settings.commits.fence_check_s):
            self._checked_s = now_s
            self._check_tables(FencedTable.check_fences)
            self.tables.may_commit()

    def _check_tables(self, check: Callable[[FencedTable], None]) -> bool:
        """Run a check of each table; False if storage is unavailable.

        That is not an error yet: storage may recover before the next commit.
        """
        try:
            for table in self.tables.fenced:
                check(table)
        except StorageUnavailable as error:
            log.warning("storage does not answer", reason=error.what)
            return False
        return True


def _is_over(now_s: float, since_s: float, interval_s: float) -> bool:
    """True if the interval has passed, or if the clock was set back.

    Without the second case, setting the clock back by an hour would delay commits by
    an hour.
    """
    return not 0 <= now_s - since_s < interval_s
