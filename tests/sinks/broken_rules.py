"""Implementations that break one rule each of the protocol in docs/adr/0003.

Rules of the take-over are broken by subclasses of `Takeover`, rules of the commit by
logs that drop or hide the numbers that the rule depends on.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake.transaction import AddAction

from semloop.delta.fence import FENCE, Fence
from semloop.delta.streams import CAUGHT_UP
from sinks.archive_tables import MAIN, ArchiveTables
from sinks.delta.delta_log import DeltaLog
from sinks.delta.fenced_table import FencedTable
from sinks.delta.takeover import Takeover
from tests.sinks.wrapped_log import WrappedLog


class WithoutEpochs(Takeover):
    """Breaks rule 2: a take-over uses a higher epoch than all earlier writers."""

    def fence_main(self) -> bool:
        for table in (self.main, *self.sides):
            table.refresh()
        self.epochs = dict.fromkeys(self.main.owned, 1)
        return self.main.take(self.epochs)

    def fence_side(self, side: FencedTable) -> bool:
        side.refresh()
        return side.take(self.epochs)


class SideFirst(Takeover):
    """Breaks rule 2: the main table is fenced before the side tables."""

    def fence_main(self) -> bool:
        side = self.sides[0]
        side.refresh()
        self.epochs = {p: 1 + side.epoch(p) for p in side.owned}
        return side.take(self.epochs)

    def fence_side(self, side: FencedTable) -> bool:
        self.main.refresh()
        return self.main.take({p: 1 + self.main.epoch(p) for p in self.main.owned})


class SideUnfenced(WrappedLog):
    """Breaks rule 2: side tables are fenced too.

    The log of a side table shows a writer's numbers only to that writer.
    """

    def __init__(self, log: DeltaLog) -> None:
        super().__init__(log)
        self._own: Mapping[str, int] = {}

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        super().commit(files, transactions if self.name == MAIN else {})
        self._own = transactions

    def stored(self, app_id: str) -> int | None:
        return super().stored(app_id) if self.name == MAIN else self._own.get(app_id)


class OnlyMoved(WrappedLog):
    """Breaks rule 1: a commit carries every owned partition, changed or not."""

    def __init__(self, log: DeltaLog) -> None:
        super().__init__(log)
        self._requested: Mapping[str, int] = {}
        self._moved: Mapping[str, int] = {}

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        if transactions != self._requested:  # Otherwise it is another attempt.
            self._moved = self._only_moved(transactions)
            self._requested = transactions
        super().commit(files, self._moved)

    def _only_moved(self, transactions: Mapping[str, int]) -> Mapping[str, int]:
        fences = {n: f for n, f in transactions.items() if n.endswith(FENCE)}
        if not any(Fence.unpack(fence).commits for fence in fences.values()):
            return transactions  # A take-over.
        own = {name.removesuffix(FENCE) for name in fences}
        moved = {n for n in own if transactions[n] != self._requested.get(n)} or own
        return {
            name: number
            for name, number in transactions.items()
            if name.removesuffix(FENCE).removesuffix(CAUGHT_UP) in moved
        }


class FollowsBlindly(WrappedLog):
    """Breaks rule 3: the entries up to the newest version are read."""

    def entries(self, since: int) -> Sequence[Mapping[str, int]]:
        return ()


class RetriesBlindly(WrappedLog):
    """Breaks rule 4: after a failed commit, the stored fence shows if it succeeded.

    The log hides the fence of the commit that is being attempted.
    """

    def __init__(self, log: DeltaLog) -> None:
        super().__init__(log)
        self._requested: Mapping[str, int] = {}
        self._before: Mapping[str, int] = {}
        self._rows: pa.Table | None = None

    def write(self, rows: pa.Table) -> AddAction:
        self._rows = rows
        return super().write(rows)

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        if transactions != self._requested:
            self._before, self._requested = self._requested, transactions
        elif files:
            # A second file: a file that is committed twice is read only once, which
            # would hide the duplicate.
            files = [super().write(self._rows)]
        super().commit(files, transactions)

    def stored(self, app_id: str) -> int | None:
        number = super().stored(app_id)
        if app_id.endswith(FENCE) and number == self._requested.get(app_id):
            return self._before.get(app_id, number)
        return number


def forget_dead_letters(tables: ArchiveTables) -> None:
    """Break rule 5: a record with a dead letter enters no table again."""
    tables._dead_lettered = set()
