"""Takes over a flow's tables from their previous writer.

The main table is fenced first: its log orders rivals, so that exactly one of two new
writers gets both tables. (With the side table first, each could get one.) A partition
has the same epoch in all tables of the flow.
"""

import functools
from collections.abc import Callable, Sequence

import stamina

from semloop.delta.streams import Partition
from semloop.errors import StorageUnavailable, TakenOver
from sinks.delta.fenced_table import FencedTable

# Every lost round means that another writer committed; twenty in a row mean that too
# many writers are running.
ROUNDS_MAX = 20


class _RoundLost(StorageUnavailable):
    """Another writer committed meanwhile: compute the epochs again."""

    def __init__(self) -> None:
        super().__init__(
            f"Other writers committed {ROUNDS_MAX} times while this one took over.",
            "Check which processes are running this flow.",
        )


class Takeover:
    """The steps of a take-over; `run` executes all of them.

    They are separate methods so that tests can interleave the steps of rivals.
    """

    def __init__(
        self,
        main: FencedTable,
        sides: Sequence[FencedTable] = (),
        least_epoch: int = 1,
    ) -> None:
        """Prepare a take-over.

        Args:
            main: main table of the flow.
            sides: its side tables.
            least_epoch: lower bound of the new epochs, for tables without fences.
        """
        self.main = main
        self.sides = sides
        self._tables = (main, *sides)
        self._least_epoch = least_epoch
        self.epochs: dict[Partition, int] = {}

    def run(self) -> dict[Partition, int]:
        """Fence main table, then side tables; returns the epoch of each partition.

        Raises:
            TakenOver: a rival took over later and continues.
            StorageUnavailable: storage fails, or too many writers commit.
        """
        self._retry_rounds(self.fence_main)
        for side in self.sides:
            self._retry_rounds(functools.partial(self.fence_side, side))
        return self.epochs

    def fence_main(self) -> bool:
        """Try once to fence the main table; False if another writer committed."""
        for table in self._tables:
            table.refresh()
        self.epochs = {
            p: max(1 + max(t.epoch(p) for t in self._tables), self._least_epoch)
            for p in self.main.owned
        }
        return self.main.take(self.epochs)

    def fence_side(self, side: FencedTable) -> bool:
        """Try once to fence a side table with the epochs of the main table.

        Raises:
            TakenOver: it has an epoch that is not older and not our own.
        """
        side.refresh()
        rival = any(side.epoch(p) >= epoch for p, epoch in self.epochs.items())
        if rival and not side.has_fences(self.epochs):
            msg = f"A newer copy of this flow took over table {side.name}."
            raise TakenOver(msg, "It continues; this one stops. Nothing is lost.")
        # If our own fence is there because its reply was lost, it is written again.
        return side.take(self.epochs)

    def _retry_rounds(self, step: Callable[[], bool]) -> None:
        # Jitter: rivals that lost a round together would lose the next one together.
        for attempt in stamina.retry_context(
            on=_RoundLost, attempts=ROUNDS_MAX, timeout=None, wait_initial=0.02,
            wait_max=1.0, wait_jitter=0.2,
        ):  # fmt: skip
            with attempt:
                if not step():
                    raise _RoundLost
