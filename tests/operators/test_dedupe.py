"""Dropping of repeated ids within the window."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.decoding.decode import decode
from operators.dedupe import DedupeWindow, dedupe, refill
from schemas.batches import Decoded
from tests.support.builders import NOW, a_poll, an_event

HOUR_MS = 3_600_000
IDS = [str(uuid.UUID(int=n)) for n in range(40)]


def poll_of(
    ids: list[str], partition: int = 0, first: int = 0, kafka_hours: float = 0
) -> Decoded:
    values = [an_event(id=event_id) for event_id in ids]
    kafka_ts = NOW + timedelta(hours=kafka_hours)
    poll = a_poll(*values, partition=partition, first=first, kafka_ts=kafka_ts)
    return decode(poll, NOW, 2**20)


def dedupe_at(
    decoded: Decoded,
    windows: Mapping[int, DedupeWindow],
    hours: float = 0,
    **options: Any,
) -> Decoded:
    return dedupe(decoded, windows, round(hours * HOUR_MS), **options)


def ids_of(decoded: Decoded) -> list[str]:
    found: list[str] = decoded.events["event_id"].to_pylist()
    return found


def test_an_id_is_stored_once() -> None:
    windows = {0: DedupeWindow(100, HOUR_MS)}
    first = dedupe_at(poll_of([IDS[0], IDS[1], IDS[0]]), windows)
    again = dedupe_at(poll_of([IDS[1], IDS[2]], first=3), windows)
    assert (ids_of(first), first.duplicates) == (IDS[:2], 1)
    assert (ids_of(again), again.duplicates) == ([IDS[2]], 1)


def test_the_first_of_repeated_events_is_kept() -> None:
    result = dedupe_at(
        poll_of([IDS[0], IDS[0]], first=5), {0: DedupeWindow(100, HOUR_MS)}
    )
    assert result.events["kafka_offset"].to_pylist() == [5]


def test_a_poll_of_only_repeated_events_becomes_empty() -> None:
    windows = {0: DedupeWindow(100, HOUR_MS)}
    dedupe_at(poll_of(IDS[:3]), windows)
    assert dedupe_at(poll_of(IDS[:3], first=3), windows).events.num_rows == 0


def test_each_partition_has_its_own_window() -> None:
    windows = {0: DedupeWindow(100, HOUR_MS), 1: DedupeWindow(100, HOUR_MS)}
    dedupe_at(poll_of(IDS[:3]), windows)
    assert dedupe_at(poll_of(IDS[:3], partition=1), windows).duplicates == 0


def test_an_id_older_than_the_window_is_accepted_again() -> None:
    windows = {0: DedupeWindow(100, HOUR_MS)}
    dedupe_at(poll_of(IDS[:1]), windows)
    dedupe_at(poll_of(IDS[1:2], first=1), windows, hours=2)
    assert dedupe_at(poll_of(IDS[:1], first=2), windows, hours=2).duplicates == 0


def test_an_id_of_exactly_the_maximum_age_is_still_in_the_window() -> None:
    windows = {0: DedupeWindow(100, HOUR_MS)}
    dedupe_at(poll_of(IDS[:1]), windows)
    dedupe_at(poll_of(IDS[1:2], first=1), windows, hours=1)
    assert dedupe_at(poll_of(IDS[:1], first=2), windows, hours=1).duplicates == 1


@pytest.mark.parametrize("kafka_hours", [0, 24, 48])
def test_no_producers_clock_shortens_the_window(kafka_hours: float) -> None:
    windows = {0: DedupeWindow(100, HOUR_MS)}
    dedupe_at(poll_of(IDS[:1]), windows)
    other = poll_of(IDS[1:2], first=1, kafka_hours=kafka_hours)
    assert dedupe_at(other, windows, hours=0.1).events.num_rows == 1
    again = poll_of(IDS[:2], first=2)
    assert dedupe_at(again, windows, hours=0.2).duplicates == 2


def test_refilled_ids_have_the_age_of_the_newest_of_their_batch() -> None:
    window = DedupeWindow(100, HOUR_MS)
    refill(window, IDS[:2], [0, HOUR_MS], now_ms=HOUR_MS)
    window.add(IDS[2:3], HOUR_MS * 2)
    assert window.seen == set(IDS[:3])


def test_the_time_that_archive_did_not_run_does_not_count() -> None:
    """And the clock of the process before may have been another one."""
    window = DedupeWindow(4_000, HOUR_MS)
    ids = [f"id-{n}" for n in range(4_000)]
    refill(window, ids, [0] * 2_000 + [HOUR_MS // 2] * 2_000, now_ms=77 * HOUR_MS)
    assert (len(window.seen), window.span_ms()) == (4_000, HOUR_MS // 2)
    window.add(["new"], now_ms=77 * HOUR_MS + HOUR_MS // 2 + 1)
    assert window.seen == {*ids[2_000:], "new"}


def test_a_dead_lettered_event_does_not_count_as_the_first_of_its_id() -> None:
    windows = {0: DedupeWindow(100, HOUR_MS)}
    result = dedupe_at(
        poll_of([IDS[0], IDS[0]]), windows, already_dead_lettered={(0, 0)}
    )
    assert result.events["kafka_offset"].to_pylist() == [1]


def test_a_dead_letter_of_another_partition_drops_no_event() -> None:
    windows = {0: DedupeWindow(100, HOUR_MS)}
    result = dedupe_at(poll_of(IDS[:1]), windows, already_dead_lettered={(1, 0)})
    assert ids_of(result) == IDS[:1]


def test_a_window_of_size_0_drops_repetitions_within_a_poll() -> None:
    windows = {0: DedupeWindow(0, HOUR_MS)}
    assert dedupe_at(poll_of([IDS[0], IDS[0]]), windows).duplicates == 1


def test_a_poll_expires_once_newer_ones_fill_the_window() -> None:
    window = DedupeWindow(2, HOUR_MS)
    for start in (0, 2):
        window.add(IDS[start : start + 2], 0)
    assert window.seen == set(IDS[2:4])


@given(
    polls=st.lists(st.lists(st.sampled_from(IDS), min_size=1, max_size=6), max_size=20),
    ids_max=st.integers(0, 12),
)
def test_the_window_contains_the_newest_ids(
    polls: list[list[str]], ids_max: int
) -> None:
    windows = {0: DedupeWindow(ids_max, HOUR_MS)}
    kept: list[str] = []
    for poll in polls:
        new = ids_of(dedupe_at(poll_of(poll), windows))
        assert not set(new) & set(kept[len(kept) - ids_max :] if ids_max else [])
        assert len(set(new)) == len(new)
        # Only seen ids are dropped.
        assert set(poll) - set(kept) <= set(new)
        kept += new
    window = windows[0]
    assert len(window.seen) == sum(len(ids) for ids, _ in window.polls)
    assert len(window.seen) <= ids_max + 6


@pytest.mark.parametrize("count", [0, 1, 1_999, 2_000, 4_500])
def test_a_refilled_window_contains_the_newest_ids(count: int) -> None:
    ids = [str(uuid.UUID(int=n)) for n in range(count)]
    window = DedupeWindow(2_000, HOUR_MS)
    refill(window, ids, range(count), now_ms=count)
    assert set(ids[-2_000:]) <= window.seen
    assert len(window.seen) <= 4_000


def test_equal_ids_of_two_namespaces_are_two_events() -> None:
    def poll(*namespaces: str, first: int) -> Decoded:
        metas = [{"session_id": "s", "namespace": name} for name in namespaces]
        values = [an_event(id=IDS[0], meta=meta) for meta in metas]
        return decode(a_poll(*values, first=first, kafka_ts=NOW), NOW, 2**20)

    windows = {0: DedupeWindow(100, HOUR_MS)}
    first = dedupe_at(poll("acme", "default", "acme", first=0), windows)
    again = dedupe_at(poll("default", "acme", "globex", first=3), windows)
    assert first.events["namespace"].to_pylist() == ["acme", "default"]
    assert again.events["namespace"].to_pylist() == ["globex"]
