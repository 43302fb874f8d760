"""Repeated ids are dropped, exactly, as far as the window reaches."""

import uuid
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.decoding.decode import decode
from operators.dedupe import Window, dedupe, refill
from schemas.batches import Decoded
from tests.builders import NOW, a_poll, an_event

HOUR_MS = 3_600_000
IDS = [str(uuid.UUID(int=n)) for n in range(40)]


def poll_of(
    ids: list[str], partition: int = 0, first: int = 0, hours: float = 0
) -> Decoded:
    values = [an_event(id=event_id) for event_id in ids]
    kafka_ts = NOW + timedelta(hours=hours)
    poll = a_poll(*values, partition=partition, first=first, kafka_ts=kafka_ts)
    return decode(poll, NOW, 2**20)


def ids_of(decoded: Decoded) -> list[str]:
    found: list[str] = decoded.events["event_id"].to_pylist()
    return found


def test_an_id_is_kept_once() -> None:
    windows = {0: Window(100, HOUR_MS)}
    first = dedupe(poll_of([IDS[0], IDS[1], IDS[0]]), windows)
    again = dedupe(poll_of([IDS[1], IDS[2]], first=3), windows)
    assert (ids_of(first), first.duplicates) == (IDS[:2], 1)
    assert (ids_of(again), again.duplicates) == ([IDS[2]], 1)


def test_of_repeated_events_the_first_is_kept() -> None:
    result = dedupe(poll_of([IDS[0], IDS[0]], first=5), {0: Window(100, HOUR_MS)})
    assert result.events["kafka_offset"].to_pylist() == [5]


def test_a_poll_of_repeated_events_only_is_empty() -> None:
    windows = {0: Window(100, HOUR_MS)}
    dedupe(poll_of(IDS[:3]), windows)
    assert dedupe(poll_of(IDS[:3], first=3), windows).events.num_rows == 0


def test_partitions_have_windows_of_their_own() -> None:
    windows = {0: Window(100, HOUR_MS), 1: Window(100, HOUR_MS)}
    dedupe(poll_of(IDS[:3]), windows)
    assert dedupe(poll_of(IDS[:3], partition=1), windows).duplicates == 0


def test_an_old_id_is_forgotten() -> None:
    windows = {0: Window(100, HOUR_MS)}
    dedupe(poll_of(IDS[:1]), windows)
    dedupe(poll_of(IDS[1:2], first=1, hours=2), windows)
    assert dedupe(poll_of(IDS[:1], first=2, hours=2), windows).duplicates == 0


def test_a_settled_record_is_no_earlier_one_of_its_id() -> None:
    windows = {0: Window(100, HOUR_MS)}
    result = dedupe(poll_of([IDS[0], IDS[0]]), windows, settled={(0, 0)})
    assert result.events["kafka_offset"].to_pylist() == [1]


def test_a_window_without_ids_still_drops_within_a_poll() -> None:
    windows = {0: Window(0, HOUR_MS)}
    assert dedupe(poll_of([IDS[0], IDS[0]]), windows).duplicates == 1


@given(
    polls=st.lists(st.lists(st.sampled_from(IDS), min_size=1, max_size=6), max_size=20),
    ids_max=st.integers(0, 12),
)
def test_the_newest_ids_are_remembered_exactly(
    polls: list[list[str]], ids_max: int
) -> None:
    windows = {0: Window(ids_max, HOUR_MS)}
    kept: list[str] = []
    for poll in polls:
        fresh = ids_of(dedupe(poll_of(poll), windows))
        assert not set(fresh) & set(kept[len(kept) - ids_max :] if ids_max else [])
        assert len(set(fresh)) == len(fresh)
        # Nothing is dropped that was never seen.
        assert set(poll) - set(kept) <= set(fresh)
        kept += fresh
    window = windows[0]
    assert len(window.seen) == sum(len(ids) for ids, _ in window.polls)
    assert len(window.seen) <= ids_max + 6


@pytest.mark.parametrize("count", [0, 1, 1_999, 2_000, 4_500])
def test_a_refilled_window_knows_the_newest_ids(count: int) -> None:
    ids = [str(uuid.UUID(int=n)) for n in range(count)]
    window = Window(2_000, HOUR_MS)
    refill(window, ids, range(count))
    assert set(ids[-2_000:]) <= window.seen
    assert len(window.seen) <= 4_000
