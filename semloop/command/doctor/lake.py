"""The lake: is it there, is its layout ours, can its tables be read?"""

from collections.abc import Iterator
from pathlib import Path

from semloop import layout
from semloop.command.doctor import Finding, Skipped, fail, ok, warn
from semloop.command.doctor.context import Known
from semloop.command.terminal.figures import format_count
from semloop.delta.snapshot import Snapshot, read_snapshot
from semloop.storage.location import Storage
from semloop.tables import DELTA_TABLES

CHECK = "lake"
MOUNTS = Path("/proc/mounts")
# Shared by several machines, each with a cache of its own; what is not atomic there
# depends on server, client and options.
NETWORK = {
    "9p", "afs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4",
    "smb3", "smbfs", "virtiofs",
}  # fmt: skip


def check(known: Known) -> Iterator[Finding]:
    """Open every table."""
    settings = known.need_settings()
    storage = Storage.of(settings)
    if not storage.on_s3 and not Path(storage.root).is_dir():
        if Path(storage.root).exists():
            todo = "Set SEMLOOP_LAKE to a folder or s3://bucket/prefix."
            yield fail(CHECK, f"{storage.root} is no folder", todo)
            return
        reason = f"There is no lake at {storage.root} yet."
        raise Skipped(reason, "`semloop up` makes it; or set SEMLOOP_LAKE to yours.")
    layout.check(storage)
    found = {table: read_snapshot(storage, table) for table in DELTA_TABLES}
    tables = [_told(snapshot) for snapshot in found.values() if snapshot]
    known.storage = storage
    yield ok(CHECK, f"tables: {', '.join(tables)}" if tables else "no tables yet")
    if not storage.on_s3:
        yield from _file_system(Path(storage.root), MOUNTS)


def _told(snapshot: Snapshot) -> str:
    files = format_count(len(snapshot.files), "file")
    return f"{snapshot.table} (version {snapshot.version:,}, {files})"


def _file_system(folder: Path, mounts: Path) -> Iterator[Finding]:
    kind = file_system(folder, mounts)
    if kind in NETWORK or kind.startswith("fuse."):
        todo = "Use a disk of this machine, or a lake on S3 for several machines."
        found = f"the file system {kind} is shared: whether two writers exclude each"
        yield warn(CHECK, f"{found} other depends on its server and options", todo)
    elif kind:
        yield ok(CHECK, f"file system {kind}")


def file_system(folder: Path, mounts: Path) -> str:
    """Type of the file system that holds a folder; empty if the system has no list."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    resolved = folder.resolve()
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        # Blanks and the like are written as octal numbers.
        plain = place.encode("utf-8", "surrogateescape").decode("unicode_escape")
        point = Path(plain.encode("latin-1").decode("utf-8", "surrogateescape"))
        # Of two at one place the later one is on top.
        if resolved.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = kind, len(point.parts)
    return found
