"""Rows that wait for an unavailable broker, which the test simulates."""

from pathlib import Path

import pytest

from semloop.errors import BrokerUnavailable, TakenOver
from tests.sinks.archive_builder import Archive

NO_ANSWER = BrokerUnavailable("No broker answers.")


class Overtaken(Archive):
    """A writer without a broker, taken over during its second request to the broker."""

    lake: Path
    requests = 0

    def _same_topic(self) -> None:
        self.requests += 1
        self.now += 1.0  # Duration of a request.
        if self.requests == 2:
            Archive(self.lake).started()
        assert self.requests < 9, "it never checks if it was taken over"
        raise NO_ANSWER


@pytest.mark.parametrize("last", [True, False], ids=["end of input", "full buffer"])
def test_a_writer_that_must_commit_detects_a_newer_copy(
    tmp_path: Path, *, last: bool
) -> None:
    older = Overtaken(tmp_path, commit_rows=2, fence_check_s=1.0)
    older.lake = tmp_path
    older.tables.take_over()
    with pytest.raises(TakenOver):
        older.poll(0, 1, last=last)
    assert older.stored() == []


def test_a_writer_with_a_few_rows_detects_a_newer_copy(tmp_path: Path) -> None:
    older = Overtaken(tmp_path, commit_interval_s=1.0, fence_check_s=2.0)
    older.lake = tmp_path
    older.tables.take_over()
    older.poll(0)
    older.tick(seconds=1.0)
    with pytest.raises(TakenOver):
        older.tick(seconds=1.0)
    assert older.stored() == []
