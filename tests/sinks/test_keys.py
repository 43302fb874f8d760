"""Counters of misrouted and repeated events, and ids looked up in the whole table."""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.batches import Decoded
from semloop.delta.streams import StreamId
from semloop.progress.positions import positions
from tests.sinks.archive_builder import IDS, Archive, Crash, named
from tests.support.builders import LOG, decoded_rows


def one_event(partition: int, offset: int, event_id: str) -> Decoded:
    rows = decoded_rows([(partition, offset)], [], {partition: offset})
    return named(rows, event_id, redelivered=False)


def counted(archive: Archive, stream: StreamId = LOG) -> list[tuple[int, int]]:
    found = positions(archive.storage, stream, 2)
    return [(at.misrouted, at.repeated) for at in found.values()]


def test_counters_are_stored_with_the_rows_and_continue_after_a_restart(
    tmp_path: Path,
) -> None:
    rows = replace(
        decoded_rows([(0, 0), (1, 0)], [], {0: 0, 1: 0}, last=True),
        misrouted={0: 1, 1: 2},
        repeated={1: 1},
    )
    archive = Archive(tmp_path).started()
    archive.loop.add(rows)
    assert counted(archive) == [(1, 0), (2, 1)]
    again = Archive(tmp_path).started()
    again.loop.add(
        replace(decoded_rows([(0, 1)], [], {0: 1}, last=True), misrouted={0: 1})
    )
    assert counted(again) == [(2, 0), (2, 1)]
    assert again.counted("repeated_total") == 0
    assert archive.counted("repeated_total") == 1


def test_a_crash_before_the_commit_counts_nothing_twice(tmp_path: Path) -> None:
    rows = replace(decoded_rows([(0, 0)], [], {0: 0}, last=True), misrouted={0: 1})
    archive = Archive(tmp_path).started()
    archive.budget.left = 0
    with pytest.raises(Crash):
        archive.loop.add(rows)
    again = Archive(tmp_path).started()
    again.loop.add(rows)
    assert counted(again) == [(1, 0), (0, 0)]


@pytest.mark.parametrize(
    ("dedupe", "stored"), [("partition", [(0, 0), (1, 0), (1, 1)]), ("lake", [(0, 0), (1, 1)])]
)  # fmt: skip
@pytest.mark.parametrize("commits", [1, 3])
def test_ids_of_other_partitions_are_dropped_only_with_dedupe_lake(
    tmp_path: Path, dedupe: str, stored: list[tuple[int, int]], commits: int
) -> None:
    archive = Archive(tmp_path, dedupe=dedupe, commit_rows=1 if commits > 1 else 99)
    archive.started()
    archive.loop.add(one_event(0, 0, IDS[0]))
    archive.loop.add(one_event(1, 0, IDS[0]))
    last = one_event(1, 1, IDS[1])
    archive.loop.add(replace(last, progress=replace(last.progress, last=True)))
    assert archive.stored() == stored
    assert archive.counted("duplicates_total") == 3 - len(stored)


def test_dedupe_lake_finds_ids_that_left_every_window(tmp_path: Path) -> None:
    for offset in range(2):
        archive = Archive(tmp_path, dedupe="lake", dedupe_ids=0).started()
        rows = one_event(0, offset, IDS[0])
        archive.loop.add(replace(rows, progress=replace(rows.progress, last=True)))
    assert archive.stored() == [(0, 0)]
