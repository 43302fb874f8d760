"""Disks: is there room for tables, for the spool and for temporary files?"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semloop.command.doctor import Finding, fail, ok, warn
from semloop.command.doctor.context import Known
from semloop.command.terminal.figures import format_bytes

CHECK = "disk"
LOW_BYTES, LOW_SHARE = 2**30, 0.05
FULL_BYTES = 100 * 2**20
# A commit makes a few files; each table has a file for each date and commit.
FULL_INODES = 1_000


@dataclass(frozen=True)
class Room:
    """Bytes and inodes of a file system; 0 inodes where there is no fixed number."""

    free: int
    total: int
    free_inodes: int
    inodes: int


def check(known: Known) -> Iterator[Finding]:
    """Look at the file systems; one that holds several folders is told once."""
    settings = known.need_settings()
    places = {} if settings.on_s3 else {"lake": Path(settings.lake)}
    places["spool"] = Path(os.path.expanduser(settings.agent.spool))
    places["temporary files"] = Path(tempfile.gettempdir())
    of_device: dict[int, list[str]] = {}
    folders: dict[int, Path] = {}
    for name, path in places.items():
        folder = _existing(path)
        device = folder.stat().st_dev
        of_device.setdefault(device, []).append(name)
        folders.setdefault(device, folder)
    for device, names in of_device.items():
        yield told(", ".join(names), folders[device], room_of(folders[device]))


def _existing(path: Path) -> Path:
    """The folder in which it would be made."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir())


def room_of(folder: Path) -> Room:
    """What is free where a folder is."""
    usage, nodes = shutil.disk_usage(folder), os.statvfs(folder)
    return Room(usage.free, usage.total, nodes.f_favail, nodes.f_files)


def told(names: str, folder: Path, room: Room) -> Finding:
    """The finding about one file system."""
    free, total = format_bytes(room.free), format_bytes(room.total)
    found = f"{names}: {free} of {total} free at {folder}"
    if room.inodes:
        found += f", {room.free_inodes:,} inodes"
    todo = f"Make room there, or move it to another disk: {names}."
    # Some file systems have no fixed number of inodes.
    if room.free < FULL_BYTES or (room.inodes and room.free_inodes < FULL_INODES):
        return fail(CHECK, found, todo)
    few = room.inodes and room.free_inodes < LOW_SHARE * room.inodes
    if few or room.free < max(LOW_BYTES, LOW_SHARE * room.total):
        return warn(CHECK, found, todo)
    return ok(CHECK, found)
