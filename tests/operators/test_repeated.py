"""Events whose id another partition has, too: kept and counted."""

from dataclasses import replace

import pyarrow as pa

from operators.dedupe import DedupeWindow, dedupe
from schemas.batches import Decoded
from tests.operators.test_dedupe import HOUR_MS, IDS, poll_of

MISROUTED = {0: 1, 1: 1}


def windows() -> dict[int, DedupeWindow]:
    return {number: DedupeWindow(100, HOUR_MS) for number in range(3)}


def poll(ids: list[str], partition: int, *, misrouted: bool = True) -> Decoded:
    decoded = poll_of(ids, partition=partition)
    return replace(decoded, misrouted=MISROUTED if misrouted else {})


def test_ids_of_another_partition_are_kept_and_counted() -> None:
    seen = windows()
    assert dedupe(poll(IDS[:3], 0), seen, 0).repeated == {}
    again = dedupe(poll(IDS[1:5], 1), seen, 0)
    assert (again.events.num_rows, again.duplicates, again.repeated) == (4, 0, {1: 2})
    # In two other partitions, but it is one event.
    assert dedupe(poll(IDS[1:2], 2), seen, 0).repeated == {2: 1}
    # Repeated in its own partition: dropped, not counted here.
    third = dedupe(poll(IDS[1:2], 2), seen, 0)
    assert (third.events.num_rows, third.repeated) == (0, {})


def test_ids_in_two_partitions_of_one_poll_are_counted_once() -> None:
    first, second = poll(IDS[:2], 0), poll(IDS[:2], 1)
    events = pa.concat_batches([first.events, second.events])
    found = dedupe(replace(first, events=events), windows(), 0)
    assert (found.events.num_rows, found.repeated) == (4, {1: 2})


def test_polls_without_misrouted_events_are_not_compared() -> None:
    seen = windows()
    dedupe(poll(IDS[:3], 0), seen, 0)
    assert dedupe(poll(IDS[:3], 1, misrouted=False), seen, 0).repeated == {}
