"""The rules that keep two writers apart, each left out on purpose.

A rule of the take-over is left out of `Takeover`; a rule of the commit by a log that
loses or denies what the rule depends on.
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
    """Rule 2: a take-over counts the epochs of everybody before it."""

    def fence_main(self) -> bool:
        for table in (self.main, *self.sides):
            table.refresh()
        self.epochs = dict.fromkeys(self.main.owned, 1)
        return self.main.take(self.epochs)

    def fence_side(self, side: FencedTable) -> bool:
        side.refresh()
        return side.take(self.epochs)


class SideFirst(Takeover):
    """Rule 2: the main table is fenced before the side tables."""

    def fence_main(self) -> bool:
        side = self.sides[0]
        side.refresh()
        self.epochs = {p: 1 + side.epoch(p) for p in side.owned}
        return side.take(self.epochs)

    def fence_side(self, side: FencedTable) -> bool:
        self.main.refresh()
        return self.main.take({p: 1 + self.main.epoch(p) for p in self.main.owned})


class SideUnfenced(WrappedLog):
    """Rule 2: side tables are fenced too.

    Here the log of one keeps numbers from everybody but the writer that sends them.
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
    """Rule 1: a commit carries every owned partition, moved or not."""

    def __init__(self, log: DeltaLog) -> None:
        super().__init__(log)
        self._asked: Mapping[str, int] = {}
        self._moved: Mapping[str, int] = {}

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        if transactions != self._asked:  # Otherwise it is another attempt.
            self._moved = self._only_moved(transactions)
            self._asked = transactions
        super().commit(files, self._moved)

    def _only_moved(self, transactions: Mapping[str, int]) -> Mapping[str, int]:
        fences = {n: f for n, f in transactions.items() if n.endswith(FENCE)}
        if not any(Fence.unpack(fence).commits for fence in fences.values()):
            return transactions  # A take-over.
        own = {name.removesuffix(FENCE) for name in fences}
        moved = {n for n in own if transactions[n] != self._asked.get(n)} or own
        return {
            name: number
            for name, number in transactions.items()
            if name.removesuffix(FENCE).removesuffix(CAUGHT_UP) in moved
        }


class FollowsBlindly(WrappedLog):
    """Rule 2: a log that moved to the newest version is read."""

    def entries(self, since: int) -> Sequence[Mapping[str, int]]:
        return ()


class RetriesBlindly(WrappedLog):
    """Rule 2: after a failed commit the stored fence tells whether it is there.

    Here the log denies that it has the commit under way.
    """

    def __init__(self, log: DeltaLog) -> None:
        super().__init__(log)
        self._asked: Mapping[str, int] = {}
        self._before: Mapping[str, int] = {}
        self._rows: pa.Table | None = None

    def write(self, rows: pa.Table) -> AddAction:
        self._rows = rows
        return super().write(rows)

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        if transactions != self._asked:
            self._before, self._asked = self._asked, transactions
        elif files:
            # A file that is named twice counts once: only another one shows.
            files = [super().write(self._rows)]
        super().commit(files, transactions)

    def stored(self, app_id: str) -> int | None:
        number = super().stored(app_id)
        if app_id.endswith(FENCE) and number == self._asked.get(app_id):
            return self._before.get(app_id, number)
        return number


def forget_dead_lettered(tables: ArchiveTables) -> None:
    """Rule 3: a record with a dead letter is not stored again."""
    tables._dead_lettered = set()
