"""When a flow commits: the one loop around the tables of every flow.

Items wait until there are enough rows, until they have waited long enough, or until the
input ends. An item without rows (a tick) makes that true when nothing comes. What
differs from flow to flow is in `FlowTables`.
"""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from semloop.errors import LakeError, StorageUnavailable, TakenOver
from semloop.settings import Settings
from sinks.delta.fenced_table import FencedTable
from sinks.flow_tables import FlowTables

# Between questions whether a commit that must be made now may be made.
ASK_AGAIN_S = 1.0
Item = TypeVar("Item")

log = structlog.get_logger("commit")


class CommitLoop(Generic[Item]):
    """Hands items to the tables of one worker, and commits them when it is time.

    Unit of parallelism: a worker. Guarantee: that of the tables. Nothing is committed
    when the process ends; what was not committed is read again.
    """

    def __init__(
        self,
        settings: Settings,
        tables: FlowTables[Item],
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """The times count from the first item.

        Args:
            settings: bounds and intervals.
            tables: taken over before the first item.
            clock: wall clock, seconds; it may be set back.
            wait: blocks for so many seconds.
        """
        self.tables = tables
        self._settings = settings
        self._clock = clock
        self._wait = wait
        self._was_level = False
        self._since_s: float | None = None
        self._opened_s = self._checked_s = self._committed_s = clock()

    def add(self, item: Item) -> None:
        """Keep an item until the next commit, and commit when it is time.

        Raises:
            TakenOver: a newer writer owns a partition.
            LakeError: a table lost what was committed, or may not be written.
            StorageUnavailable: not within `storage_retry_s`.
            TopicChanged: what is read is another topic by now.
        """
        last = self.tables.keep(item)
        if self._since_s is None and self.tables.waiting.moved:
            self._since_s = self._clock()
        try:
            self._act(last=last)
        except (TakenOver, LakeError) as error:
            explained = self.tables.explain(error)
            if explained is error:
                raise
            raise explained from None

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
        ends = last and (waiting.moved or idle_s is not None)
        if full or ends:
            self._commit_before_anything_else()
        # Where it may not, the rows stay, and the next item asks again.
        elif (
            idle or (waiting.moved and (waited or self._reaches_level()))
        ) and self.tables.may_commit():
            self._commit()
        self._check_if_due()

    def _reaches_level(self) -> bool:
        """Whether all that waited at the start has been read by now; true once.

        The first commit after catching up does not wait for the interval: readers have
        waited through the restart already.
        """
        if self._was_level or not self.tables.is_level():
            return False
        self._was_level = True
        return True

    def _commit_before_anything_else(self) -> None:
        """Commit before more is read: the buffer is full, or the input has ended."""
        while not self.tables.may_commit():
            self._wait(ASK_AGAIN_S)
            self._check_if_due()
        self._commit()

    def _commit(self) -> None:
        started_s, self._since_s = self._clock(), None
        self.tables.commit()
        self._committed_s = self._checked_s = self._clock()
        # A handle slows down with every commit that it has followed.
        due = any(
            table.commits_since_open >= self._settings.commits.reopen_commits
            for table in self.tables.fenced
        )
        if due or _is_over(started_s, self._opened_s, self._settings.commits.reopen_s):
            self._reopen()

    def _reopen(self) -> None:
        """Make sure through fresh handles that the tables are still this writer's."""
        if self._ask_tables(FencedTable.reopen):
            self._opened_s = self._clock()

    def _check_if_due(self) -> None:
        """Find out without a commit that a newer writer, or another topic, is there.

        That is needed when idle, and while rows wait for a permission to commit.
        """
        now_s = self._clock()
        if _is_over(now_s, self._checked_s, self._settings.commits.fence_check_s):
            self._checked_s = now_s
            self._ask_tables(FencedTable.look)
            self.tables.may_commit()

    def _ask_tables(self, question: Callable[[FencedTable], None]) -> bool:
        """Ask each table; one that does not answer may do so by the next commit."""
        try:
            for table in self.tables.fenced:
                question(table)
        except StorageUnavailable as error:
            log.warning("storage does not answer", reason=error.what)
            return False
        return True


def _is_over(now_s: float, since_s: float, interval_s: float) -> bool:
    """Whether the interval has passed, or nobody can tell: the clock was set back.

    Without the second case, a clock that is set back by an hour would delay commits by
    an hour.
    """
    return not 0 <= now_s - since_s < interval_s
