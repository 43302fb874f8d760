"""Drops events whose id was seen before, within a bounded window per partition.

Shape: `Decoded` and the windows in, `Decoded` without the repeated events out. The
window is exact for its newest ids (`ids_max`, by arrival) as long as they are not older
than `age_max_ms` by Kafka's timestamp; it is refilled from `events` at start, so a
restart forgets nothing. A repeated id is counted, never a dead letter.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.batches import Decoded

# Ids that are forgotten together after a refill: about a poll.
REFILL_IDS = 2_000


@dataclass
class Window:
    """The ids of one partition that a new one is compared with."""

    ids_max: int
    age_max_ms: int
    seen: set[str] = field(default_factory=set)
    # Ids in order of arrival with the newest Kafka timestamp among them, so that whole
    # polls are forgotten at once.
    polls: deque[tuple[list[str], int]] = field(default_factory=deque)

    def add(self, ids: list[str], kafka_ms: int) -> None:
        """Remember ids that are all new; forget what the bounds no longer cover."""
        if not ids:
            return
        self.seen.update(ids)
        self.polls.append((ids, kafka_ms))
        while self.polls and self._may_forget(kafka_ms):
            gone, _ = self.polls.popleft()
            self.seen.difference_update(gone)

    def _may_forget(self, now_ms: int) -> bool:
        oldest, oldest_ms = self.polls[0]
        too_many = len(self.seen) - len(oldest) >= self.ids_max
        return too_many or now_ms - oldest_ms > self.age_max_ms

    def span_ms(self) -> int:
        """Time that the window reaches back, by Kafka's timestamps."""
        return self.polls[-1][1] - self.polls[0][1] if self.polls else 0


def refill(window: Window, ids: Sequence[str], kafka_ms: Sequence[int]) -> None:
    """Fill a window from ids of the table and their Kafka ms, in order of offsets."""
    for start in range(0, len(ids), REFILL_IDS):
        stop = min(start + REFILL_IDS, len(ids))
        window.add(list(ids[start:stop]), kafka_ms[stop - 1])


def dedupe(
    decoded: Decoded,
    windows: Mapping[int, Window],
    settled: Set[tuple[int, int]] = frozenset(),
) -> Decoded:
    """Drop events whose id is in their partition's window, or twice in this poll.

    Records of `settled` origins are dead letters already, whatever they are judged to
    be now: they are dropped first, so that no other event counts as their repetition.
    """
    if settled:
        decoded = replace(decoded, events=_without(decoded.events, settled))
    events = decoded.events
    if not events.num_rows:
        return decoded
    keep: list[pa.RecordBatch] = []
    for partition, part in _by_partition(events):
        window = windows[partition]
        ids = part["event_id"].to_pylist()
        if not window.seen.isdisjoint(ids) or len(set(ids)) < len(ids):
            part, ids = _first_of_each(part, ids, window.seen)  # noqa: PLW2901
        if ids:
            newest = pc.max(part["kafka_ts"]).cast(pa.int64()).as_py() or 0
            window.add(ids, newest // 1000)
            keep.append(part)
    kept = sum(part.num_rows for part in keep)
    if kept == events.num_rows:
        return decoded
    batch = pa.concat_batches(keep) if keep else events.slice(0, 0)
    dropped = events.num_rows - kept
    return replace(decoded, events=batch, duplicates=decoded.duplicates + dropped)


def _without(events: pa.RecordBatch, settled: Set[tuple[int, int]]) -> pa.RecordBatch:
    columns = (events[name].to_pylist() for name in ("kafka_partition", "kafka_offset"))
    keep = [origin not in settled for origin in zip(*columns, strict=True)]
    return events.filter(pa.array(keep, pa.bool_()))


def _by_partition(events: pa.RecordBatch) -> Iterable[tuple[int, pa.RecordBatch]]:
    """Slices without a copy; a poll may hold its partitions in any order."""
    partitions = events["kafka_partition"].to_numpy()
    cuts = np.flatnonzero(np.diff(partitions)) + 1
    bounds = [0, *cuts.tolist(), len(partitions)]
    for start, stop in itertools.pairwise(bounds):
        yield int(partitions[start]), events.slice(start, stop - start)


def _first_of_each(
    part: pa.RecordBatch, ids: list[str], seen: set[str]
) -> tuple[pa.RecordBatch, list[str]]:
    fresh: dict[str, int] = {}
    for row, event_id in enumerate(ids):
        if event_id not in seen:
            fresh.setdefault(event_id, row)
    rows = pa.array(list(fresh.values()), pa.int32())
    return part.take(rows), list(fresh)
