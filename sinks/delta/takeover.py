"""Taking a flow's tables over from whoever wrote them before.

The main table is fenced first: its log orders rivals, so of two newcomers exactly one
wins both tables (side table first lets each win one). One epoch per partition holds
for all tables of the flow.
"""

import functools
from collections.abc import Callable, Sequence

import stamina

from semloop.delta.streams import Partition
from semloop.errors import StorageUnavailable, TakenOver
from sinks.delta.fenced_table import FencedTable

# Every lost round means that a rival committed; twenty in a row mean a crowd.
ROUNDS_MAX = 20


class _RoundLost(StorageUnavailable):
    """Somebody committed meanwhile: count again."""

    def __init__(self) -> None:
        super().__init__(
            f"Other writers committed {ROUNDS_MAX} times while this one took over.",
            "See which processes run this flow.",
        )


class Takeover:
    """The steps of one take-over; `run` does them all.

    They are apart so that tests can interleave the steps of rivals in every order.
    """

    def __init__(
        self,
        main: FencedTable,
        sides: Sequence[FencedTable] = (),
        least_epoch: int = 1,
    ) -> None:
        """`least_epoch`: beyond all that count in tables without fences."""
        self.main = main
        self.sides = sides
        self._tables = (main, *sides)
        self._least_epoch = least_epoch
        self.epochs: dict[Partition, int] = {}

    def run(self) -> dict[Partition, int]:
        """Fence main table, then side tables; returns the epoch of each partition.

        Raises:
            TakenOver: a rival was later and goes on.
            StorageUnavailable: storage fails, or a crowd is there.
        """
        self._until(self.fence_main)
        for side in self.sides:
            self._until(functools.partial(self.fence_side, side))
        return self.epochs

    def fence_main(self) -> bool:
        """One try to fence the main table; False: somebody committed meanwhile."""
        for table in self._tables:
            table.refresh()
        self.epochs = {
            p: max(1 + max(t.epoch(p) for t in self._tables), self._least_epoch)
            for p in self.main.owned
        }
        return self.main.take(self.epochs)

    def fence_side(self, side: FencedTable) -> bool:
        """One try to fence a side table with the epochs won in the main table.

        Raises:
            TakenOver: it holds an epoch that is not older and not our own.
        """
        side.refresh()
        rival = any(side.epoch(p) >= epoch for p, epoch in self.epochs.items())
        if rival and not side.holds(self.epochs):
            msg = f"A newer copy of this flow took over table {side.name}."
            raise TakenOver(msg, "It goes on; this one stops. Nothing is lost.")
        # Our own fence with its reply lost is simply put there again.
        return side.take(self.epochs)

    def _until(self, step: Callable[[], bool]) -> None:
        # Rivals that lost a round together would lose the next one together, too.
        for attempt in stamina.retry_context(
            on=_RoundLost, attempts=ROUNDS_MAX, timeout=None, wait_initial=0.02,
            wait_max=1.0, wait_jitter=0.2,
        ):  # fmt: skip
            with attempt:
                if not step():
                    raise _RoundLost
