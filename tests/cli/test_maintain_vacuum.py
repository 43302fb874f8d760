"""`semloop maintain vacuum`."""

import os
from pathlib import Path

import pytest

from semloop.storage.location import Storage
from tests.cli.helpers import Semloop
from tests.sources.events_table import EventsTable

pytestmark = pytest.mark.usefixtures("log_setup_restored")


def test_the_command_says_what_it_deletes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, semloop: Semloop
) -> None:
    table = EventsTable(Storage(str(tmp_path)))
    table.commit((0, 0))
    monkeypatch.setenv("SEMLOOP_LAKE", str(tmp_path))
    assert semloop.run("maintain", "vacuum")[:2] == (0, "No files are to be deleted.\n")
    left = table.files()[0].with_name("part-left.zstd.parquet")
    left.write_bytes(b"left")
    os.utime(left, (1e9, 1e9))
    code, out, _ = semloop.run("maintain", "vacuum", "--dry-run")
    assert (code, out) == (0, "events: 1 file (4 bytes) would be deleted.\n")
    assert left.exists()
    code, out, _ = semloop.run("maintain", "vacuum")
    assert (code, out) == (0, "events: 1 file (4 bytes) deleted.\n")
    assert not left.exists()


def test_less_than_a_day_is_refused(
    monkeypatch: pytest.MonkeyPatch, semloop: Semloop
) -> None:
    monkeypatch.setenv("SEMLOOP_VACUUM_HOURS", "23")
    code, _, err = semloop.run("maintain", "vacuum")
    assert (code, err.count("\n")) == (1, 2)
    assert "vacuum_hours" in err
    assert "24" in err
