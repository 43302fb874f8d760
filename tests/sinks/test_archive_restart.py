"""The end of `ArchiveTables`, and its next start."""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.batches import Progress
from semloop.delta.streams import CAUGHT_UP
from semloop.errors import TakenOver
from sinks.delta.takeover import Takeover
from tests.sinks.archive_builder import Archive, Crash
from tests.support.builders import LOG, decoded_rows, keyed


def test_a_dead_letter_counts_although_another_partition_has_a_larger_offset(
    tmp_path: Path,
) -> None:
    archive = Archive(tmp_path).started()
    archive.poll(9, partition=1, last=True)
    archive.budget.left = 1
    with pytest.raises(Crash):
        archive.loop.add(decoded_rows([(0, 0)], [(0, 1)], {0: 1}, last=True))
    again = Archive(tmp_path).started()
    assert again.tables.already_dead_lettered == {(0, 1)}
    # The re-read judges both records valid.
    again.loop.add(decoded_rows([(0, 0), (0, 1)], [], {0: 1}, last=True))
    assert again.stored() == [(0, 0), (1, 9)]
    assert again.stored("dead_letters") == [(0, 1)]
    assert again.tables.already_dead_lettered == set()


def test_the_last_item_stores_caught_up_ms_without_rows(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    end = Progress(caught_up_ms=keyed({0: 1_700_000_000_123}), last=True)
    archive.loop.add(replace(decoded_rows([], [], {}), progress=end))
    stored = archive.storage.open("events").transaction_version
    assert stored(LOG.app_id("events", 0) + CAUGHT_UP) == 1_700_000_000_123


def test_a_side_table_with_commits_of_the_same_epoch_is_not_taken(
    tmp_path: Path,
) -> None:
    """Occurs if the main table was restored, so that a rival got the same epoch."""
    main, (side,) = Archive(tmp_path).tables.open()
    takeover = Takeover(main, [side])
    assert takeover.fence_main()
    _, (side_of_rival,) = Archive(tmp_path).tables.open()
    side_of_rival.refresh()
    assert side_of_rival.take(takeover.epochs)
    side_of_rival.commit(None, {})
    with pytest.raises(TakenOver):
        takeover.fence_side(side)
    side_of_rival.check_fences()
