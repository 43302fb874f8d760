"""Stops `archive` if too many of the recent records become dead letters.

Each new row counts as exp(-age / window): the counts are two numbers per partition, and
`events` stores them in the commit of the rows that they count. So they survive a
restart, together with the offsets. The age is running time of `archive`, by a clock
that cannot be set: while nothing runs, nothing is forgotten.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from semloop.delta.streams import RECENT, RECENT_REFUSED, Partition
from semloop.errors import TooManyDeadLetters
from semloop.settings.sections import ArchiveSettings

# Counts are stored as int64, in thousandths.
SCALE = 1_000
OFF = 1.0


class Judged(NamedTuple):
    """Number of records, and how many of them are dead letters."""

    records: float = 0.0
    refused: float = 0.0

    def exceeds(self, ratio: float) -> bool:
        """True if the share of dead letters is larger than this."""
        return self.refused > ratio * self.records

    def plus(self, other: "Judged") -> "Judged":
        """Return the sum."""
        return Judged(self.records + other.records, self.refused + other.refused)

    def times(self, factor: float) -> "Judged":
        """Return both numbers multiplied."""
        return Judged(self.records * factor, self.refused * factor)


class DeadLetterLimit:
    """The recent records of one worker, and the most that may be dead letters.

    Records that were sent again on purpose (`import`, `dlq replay`) and are refused do
    not count: the command reports them itself.
    """

    def __init__(
        self,
        settings: ArchiveSettings,
        *,
        accepts: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Count nothing yet; `load` reads what was counted before.

        Args:
            settings: ratio, window and the least number of records.
            accepts: allow any number of dead letters, and forget what was counted.
            clock: seconds; it only moves forward.
        """
        self._settings = settings
        self._accepts = accepts
        self._clock = clock
        self._counted_s = clock()
        self._counts: dict[Partition, Judged] = {}

    @property
    def _is_on(self) -> bool:
        return self._settings.dead_letters_max_ratio < OFF

    def load(
        self,
        stored: Callable[[Partition, str], int | None],
        owned: Sequence[Partition],
    ) -> None:
        """Read what the open version of `events` stores: see `FencedTable.stored`."""
        if not self._is_on:
            return
        self._counted_s = self._clock()
        for partition in owned:
            kinds = (RECENT, RECENT_REFUSED)
            counted = Judged(*(stored(partition, kind) or 0 for kind in kinds))
            self._counts[partition] = counted.times(1 / SCALE)

    def check(self, events: pa.Table, dead: pa.Table, again: Set[str]) -> None:
        """Refuse a commit with too many dead letters; nothing of it is stored.

        A commit whose own share is within the limit always passes: it does not stop for
        what was committed before.

        Args:
            events: new events.
            dead: new dead letters.
            again: ids of those that were sent again on purpose.

        Raises:
            TooManyDeadLetters: of the recent records, these included.
        """
        if not self._is_on or self._accepts or not dead.num_rows:
            return
        dead = _without(dead, again)
        found = Judged(events.num_rows + dead.num_rows, dead.num_rows)
        self._age()
        recent = found
        for counted in self._counts.values():
            recent = recent.plus(counted)
        ratio, least = (
            self._settings.dead_letters_max_ratio,
            self._settings.dead_letters_records_min,
        )
        if recent.records >= least and recent.exceeds(ratio) and found.exceeds(ratio):
            raise _stop(recent, dead, self._settings)

    def add(
        self, events: pa.Table, dead: pa.Table, again: Set[str]
    ) -> Mapping[tuple[Partition, str], int]:
        """Count the rows of a commit; return the numbers that it must store."""
        if not self._is_on:
            return {}
        self._age()
        dead = _without(dead, again)
        refused, accepted = (
            Counter(rows["kafka_partition"].to_pylist()) for rows in (dead, events)
        )
        numbers: dict[tuple[Partition, str], int] = {}
        for partition, counted in self._counts.items():
            found = Judged(
                accepted[partition.number] + refused[partition.number],
                refused[partition.number],
            )
            now = Judged() if self._accepts else counted.plus(found)
            self._counts[partition] = now
            numbers[partition, RECENT] = int(now.records * SCALE)
            numbers[partition, RECENT_REFUSED] = int(now.refused * SCALE)
        return numbers

    def _age(self) -> None:
        """Let what was counted weigh less, by the time since the last call."""
        before_s, self._counted_s = self._counted_s, self._clock()
        passed_s = self._counted_s - before_s
        factor = math.exp(-passed_s / self._settings.dead_letters_window_s)
        self._counts = {p: one.times(factor) for p, one in self._counts.items()}


def _without(dead: pa.Table, again: Set[str]) -> pa.Table:
    if not again or not dead.num_rows:
        return dead
    sent_again = pc.is_in(dead["id"], pa.array(sorted(again), pa.string()))
    return dead.filter(pc.invert(sent_again))


def _stop(
    recent: Judged, dead: pa.Table, settings: ArchiveSettings
) -> TooManyDeadLetters:
    ((reason, _),) = Counter(dead["reason"].to_pylist()).most_common(1)
    (example,) = dead.filter(pc.equal(dead["reason"], reason))[:1].to_pylist()
    detail = f", {example['detail']}" if example["detail"] else ""
    what = f"Of the recent records, {recent.refused / recent.records:.0%} would become "
    what += f"dead letters, more than {settings.dead_letters_max_ratio:.0%} "
    what += f"(dead_letters_max_ratio): most for the reason {reason}, for example "
    what += f"offset {example['kafka_offset']} of partition "
    what += f"{example['kafka_partition']} (id {example['id']}{detail})."
    todo = "These are not stored yet. If a setting or the version of SemLoop is wrong, "
    todo += "correct it and start archive again. Else stop the producer, then store "
    todo += "its records as dead letters: semloop run archive --accept-dead-letters"
    return TooManyDeadLetters(what, todo)
