"""Disk space."""

from pathlib import Path

import pytest

from semloop.command.doctor import State
from semloop.command.doctor.disk import FreeSpace, judged
from semloop.settings import Settings, load
from tests.doctor.run_checks import findings_of

GIB = 2**30


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """A lake that does not exist, and a separate spool."""
    return load(
        {}, lake=str(tmp_path / "no" / "lake"), spool=str(tmp_path / "spool"),
        kafka="127.0.0.1:1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("space", "state"),
    [
        (FreeSpace(50 * GIB, 100 * GIB, 10**6, 10**7), State.OK),
        (FreeSpace(50 * GIB, 100 * GIB, 0, 0), State.OK),
        (FreeSpace(4 * GIB, 100 * GIB, 10**6, 10**7), State.WARN),
        (FreeSpace(GIB - 1, 10 * GIB, 10**6, 10**7), State.WARN),
        (FreeSpace(50 * GIB, 100 * GIB, 10**5, 10**7), State.WARN),
        (FreeSpace(99 * 2**20, GIB, 10**6, 10**7), State.FAIL),
        (FreeSpace(50 * GIB, 100 * GIB, 999, 10**4), State.FAIL),
    ],
    ids=["enough space", "inodes not counted", "under 5 %", "under a GiB", "few inodes", "full", "no inodes"],
)  # fmt: skip
def test_disk_check_judges_free_space_by_bytes_and_inodes(
    space: FreeSpace, state: State
) -> None:
    finding = judged("lake", Path("/x"), space)
    assert finding.state is state
    assert bool(finding.todo) == (state is not State.OK)
    assert "GiB" in finding.found


def test_disk_check_does_not_create_missing_folders(
    here: Settings, tmp_path: Path
) -> None:
    finding, *more = findings_of(here, "disk")
    # The test's folder may be on the same file system as the temporary files, or not.
    assert all(f.found.split(":")[0] in "lake, spool, temporary files" for f in more)
    assert finding.found.startswith("lake, spool")
    assert f"free at {tmp_path}" in finding.found
    assert list(tmp_path.iterdir()) == []


def test_disk_check_ignores_a_lake_on_s3(here: Settings) -> None:
    settings = here.replace(lake="s3://bucket/x")
    found = findings_of(settings, "disk")
    assert not any(f.found.startswith("lake") for f in found)


def test_disk_check_ignores_a_spool_that_is_off(here: Settings) -> None:
    found = findings_of(here.replace(spool="off"), "disk")
    assert not any("spool" in finding.found for finding in found)
