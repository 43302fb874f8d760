"""Only the owner may read the files of a local lake, unless a setting says otherwise."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from semloop.settings import load
from semloop.storage.local_files import close_new_files, make_folder
from semloop.storage.location import Storage


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> set[tuple[str, int]]:
    paths = [folder, *folder.rglob("*")]
    return {
        ("folder" if p.is_dir() else "file", stat.S_IMODE(p.stat().st_mode))
        for p in paths
    }


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("private", {("folder", 0o700), ("file", 0o600)}),
        ("umask", {("folder", 0o755), ("file", 0o644)}),
    ],
)
def test_a_program_writes_files_of_the_mode_of_the_lake_and_keeps_its_umask(
    tmp_path: Path, mode: str, expected: set[tuple[str, int]]
) -> None:
    storage = Storage.of(load({}, lake=str(tmp_path / "new" / "lake"), lake_mode=mode))
    assert storage.create("_models/m.json", b"{}")
    storage.put("events/part.parquet", b"rows")
    storage.local_folder()
    assert modes(tmp_path / "new") == expected
    assert os.umask(0o022) == 0o022


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir(mode=0o755)
    make_folder(tmp_path / "lake" / "events", 0o600)
    assert modes(tmp_path / "lake") == {("folder", 0o755), ("folder", 0o700)}


@pytest.mark.parametrize(
    ("lake", "mode", "umask"),
    [
        ("lake", "private", 0o077),
        ("lake", "umask", 0o022),
        ("s3://bucket/lake", "private", 0o022),
    ],
)
def test_a_process_of_ours_has_a_private_umask_for_a_local_lake(
    lake: str, mode: str, umask: int
) -> None:
    close_new_files(load({}, lake=lake, lake_mode=mode))
    assert os.umask(umask) == umask


def test_with_invalid_settings_files_are_private(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE_MODE", "open")
    close_new_files()
    assert os.umask(0o022) == 0o077
