"""Disk check: free space for the lake, the spool and temporary files."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semloop.agent.spool.names import spool_folder
from semloop.command.doctor import Finding, fail, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_bytes

CHECK = "disk"
LOW_BYTES, LOW_SHARE = 2**30, 0.05
FULL_BYTES = 100 * 2**20
# A commit creates a few files, one per table and date.
FULL_INODES = 1_000


@dataclass(frozen=True)
class FreeSpace:
    """Bytes and inodes of a file system; `inodes` is 0 if their number is not fixed."""

    free: int
    total: int
    free_inodes: int
    inodes: int


def check(context: CheckContext) -> Iterator[Finding]:
    """Yield one finding per file system, even if it contains several of the folders."""
    settings = context.require_settings()
    paths = {} if settings.on_s3 else {"lake": Path(settings.lake)}
    if (spool := spool_folder(settings)) is not None:
        paths["spool"] = spool
    paths["temporary files"] = Path(tempfile.gettempdir())
    names_by_device: dict[int, list[str]] = {}
    folders: dict[int, Path] = {}
    for name, path in paths.items():
        folder = _existing(path)
        device = folder.stat().st_dev
        names_by_device.setdefault(device, []).append(name)
        folders.setdefault(device, folder)
    for device, names in names_by_device.items():
        yield judged(", ".join(names), folders[device], free_space(folders[device]))


def _existing(path: Path) -> Path:
    """Return the nearest existing folder, in which the path would be created."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir())


def free_space(folder: Path) -> FreeSpace:
    """Return the free space of the file system that contains a folder."""
    usage, nodes = shutil.disk_usage(folder), os.statvfs(folder)
    return FreeSpace(usage.free, usage.total, nodes.f_favail, nodes.f_files)


def judged(names: str, folder: Path, space: FreeSpace) -> Finding:
    """Return the finding about one file system."""
    free, total = format_bytes(space.free), format_bytes(space.total)
    found = f"{names}: {free} of {total} free at {folder}"
    if space.inodes:
        found += f", {space.free_inodes:,} inodes free"
    todo = f"Free up space there, or move to another disk: {names}."
    no_inodes = space.inodes and space.free_inodes < FULL_INODES
    if no_inodes or space.free < FULL_BYTES:
        return fail(CHECK, found, todo)
    few_inodes = space.inodes and space.free_inodes < LOW_SHARE * space.inodes
    if few_inodes or space.free < max(LOW_BYTES, LOW_SHARE * space.total):
        return warn(CHECK, found, todo)
    return ok(CHECK, found)
