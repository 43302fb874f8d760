"""Drops events that repeat an id of their namespace, within a bounded window.

Input: `Decoded` and the windows, one per partition. Output: `Decoded` without the
repeated events. A window contains at least the newest `ids_max` ids, as the keys of
`semloop.event_keys`, that did not arrive more than `age_max_ms` ago. It is refilled
from `events` at start, so a restart loses no ids. A repeated id is counted; it is not a
dead letter.

Ages are differences of times of this process or of `archive`: no clock of a producer
can empty a window, and neither can a clock that is set.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from operators.by_agent import count_by_agent
from schemas.batches import Decoded
from semloop.event_keys import event_keys
from semloop.progress.activity import DUPLICATE

# Ids per batch of a refill, which expire together: about one poll.
REFILL_IDS = 2_000


@dataclass
class DedupeWindow:
    """The recent ids of one partition."""

    ids_max: int
    age_max_ms: int
    seen: set[str] = field(default_factory=set)
    # The ids of each poll with the time of their arrival, the oldest first: a poll
    # expires as a whole.
    polls: deque[tuple[list[str], int]] = field(default_factory=deque)

    def add(self, ids: list[str], now_ms: int) -> None:
        """Add ids that are not in the window; drop polls beyond the bounds.

        Args:
            ids: keys of events.
            now_ms: time of their arrival, by a clock that only moves forward.
        """
        if not ids:
            return
        self.seen.update(ids)
        self.polls.append((ids, now_ms))
        while self.polls and self._is_expired(now_ms):
            expired, _ = self.polls.popleft()
            self.seen.difference_update(expired)

    def _is_expired(self, now_ms: int) -> bool:
        oldest, oldest_ms = self.polls[0]
        too_many = len(self.seen) - len(oldest) >= self.ids_max
        return too_many or now_ms - oldest_ms > self.age_max_ms

    def span_ms(self) -> int:
        """Return the time between the arrivals of the oldest and the newest ids."""
        return self.polls[-1][1] - self.polls[0][1] if self.polls else 0


def refill(
    window: DedupeWindow, ids: Sequence[str], arrived_ms: Sequence[int], now_ms: int
) -> None:
    """Fill a window with stored ids, as if the newest of them arrived now.

    So time during which `archive` did not run does not count: what was sent twice
    meanwhile is read right after it.

    Args:
        window: an empty window.
        ids: keys of events in order of offsets.
        arrived_ms: when `archive` committed each, by its clock of that time.
        now_ms: the present time of the clock of `add`.
    """
    for start in range(0, len(ids), REFILL_IDS):
        stop = min(start + REFILL_IDS, len(ids))
        age_ms = arrived_ms[-1] - arrived_ms[stop - 1]
        window.add(list(ids[start:stop]), now_ms - age_ms)


def dedupe(
    decoded: Decoded,
    windows: Mapping[int, DedupeWindow],
    now_ms: int,
    already_dead_lettered: Set[tuple[int, int]] = frozenset(),
) -> Decoded:
    """Drop events whose id is in their partition's window or repeated in this poll.

    Events whose id is in the window of another partition are kept and counted, if the
    poll has misrouted events: with the session as key they are in one partition.

    Args:
        decoded: a poll.
        windows: partition -> its window; they are updated.
        now_ms: time of arrival, by a clock that only moves forward.
        already_dead_lettered: (partition, offset) of events that are dropped first, so
            that no other event counts as their repetition.
    """
    if already_dead_lettered:
        events = _without(decoded.events, already_dead_lettered)
        decoded = replace(decoded, events=events)
    events = decoded.events
    if not events.num_rows:
        return decoded
    keep: list[pa.RecordBatch] = []
    dropped: list[pa.RecordBatch] = []
    repeated: dict[int, int] = {}
    for partition, part in _by_partition(events):
        window = windows[partition]
        ids = event_keys(part)
        if not window.seen.isdisjoint(ids) or len(set(ids)) < len(ids):
            unasked = _unasked(part, ids, window.seen, decoded.redelivered_ids)
            dropped.append(unasked)
            part, ids = _first_of_each(part, ids, window.seen)  # noqa: PLW2901
        if ids:
            window.add(ids, now_ms)
            keep.append(part)
        if decoded.misrouted and (count := _elsewhere(ids, partition, windows)):
            repeated[partition] = repeated.get(partition, 0) + count
    decoded = replace(decoded, repeated=repeated) if repeated else decoded
    kept = sum(part.num_rows for part in keep)
    if kept == events.num_rows:
        return decoded
    batch = pa.concat_batches(keep) if keep else events.slice(0, 0)
    duplicates = decoded.duplicates + events.num_rows - kept
    by_agent = count_by_agent(pa.concat_batches(dropped), DUPLICATE)
    by_agent |= decoded.by_agent
    return replace(decoded, events=batch, duplicates=duplicates, by_agent=by_agent)


def _elsewhere(
    ids: Sequence[str], partition: int, windows: Mapping[int, DedupeWindow]
) -> int:
    """Count the ids that the window of another partition contains."""
    others = [window.seen for p, window in windows.items() if p != partition]
    return len(set().union(*(seen.intersection(ids) for seen in others)))


def _without(events: pa.RecordBatch, origins: Set[tuple[int, int]]) -> pa.RecordBatch:
    columns = (events[name].to_pylist() for name in ("kafka_partition", "kafka_offset"))
    keep = [origin not in origins for origin in zip(*columns, strict=True)]
    return events.filter(pa.array(keep, pa.bool_()))


def _by_partition(events: pa.RecordBatch) -> Iterable[tuple[int, pa.RecordBatch]]:
    """Slice by partition without a copy; partitions may be in any order."""
    partitions = events["kafka_partition"].to_numpy()
    starts = np.flatnonzero(np.diff(partitions)) + 1
    bounds = [0, *starts.tolist(), len(partitions)]
    for start, stop in itertools.pairwise(bounds):
        yield int(partitions[start]), events.slice(start, stop - start)


def _first_of_each(
    part: pa.RecordBatch, ids: list[str], seen: set[str]
) -> tuple[pa.RecordBatch, list[str]]:
    row_by_id: dict[str, int] = {}
    for row, key in enumerate(ids):
        if key not in seen:
            row_by_id.setdefault(key, row)
    rows = pa.array(list(row_by_id.values()), pa.int32())
    return part.take(rows), list(row_by_id)


def _unasked(
    part: pa.RecordBatch, ids: Sequence[str], seen: Set[str], redelivered: Set[str]
) -> pa.RecordBatch:
    """Return the repeated events of which no header says that they may be.

    An import that is repeated, or an agent that is not sure, sets that header.
    """
    rows = []
    own: set[str] = set()
    for row, key in enumerate(ids):
        if (key in seen or key in own) and key not in redelivered:
            rows.append(row)
        own.add(key)
    return part.take(pa.array(rows, pa.int32()))
