"""Times for people are in UTC; `--local` shows them in the zone of the terminal."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.helpers import Semloop, Writer
from tests.semloop.recall.a_memory_lake import a_memory_lake, a_message
from tests.support.builders import an_event

SUMMER = "2026-07-01T22:30:05Z"


@pytest.fixture(autouse=True)
def _far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("SEMLOOP_EMBEDDER", "hashing")
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_show_prints_utc_or_with_local_the_zone_of_the_terminal(
    writer: Writer, semloop: Semloop
) -> None:
    writer.write(an_event(timestamp=SUMMER))
    utc, local = semloop("show", "s-1"), semloop("show", "s-1", "--local")
    assert "2026-07-01 22:30:05+00:00" in utc
    assert "  22:30:05  " in utc
    assert "2026-07-02 04:00:05+05:30" in local
    assert "  04:00:05  " in local


def test_tail_prints_utc_or_with_local_the_zone_of_the_terminal(
    writer: Writer, semloop: Semloop
) -> None:
    writer.write(an_event(timestamp=SUMMER))
    assert semloop("tail", "--no-follow").startswith("07-01 22:30  tester")
    assert semloop("tail", "--no-follow", "--local").startswith("07-02 04:00  tester")


def test_recall_prints_utc_or_with_local_the_zone_of_the_terminal(
    tmp_path: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "lake"
    monkeypatch.setenv("SEMLOOP_LAKE", str(folder))
    then = datetime(2026, 7, 1, 22, 30, 5, tzinfo=UTC)
    a_memory_lake(folder, a_message("refund", ts=then))
    assert "  2026-07-01 22:30+00:00  " in semloop("recall", "refund")
    assert "  2026-07-02 04:00+05:30  " in semloop("recall", "refund", "--local")
