"""Lake check: existence, layout version, readable tables and file system."""

from collections.abc import Iterator
from pathlib import Path

from semloop import layout
from semloop.command.doctor import Finding, Skipped, fail, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_count
from semloop.delta.snapshot import Snapshot, read_snapshot
from semloop.storage.location import Storage
from semloop.tables import DELTA_TABLES

CHECK = "lake"
MOUNTS = Path("/proc/mounts")
# Shared by several machines, each with its own cache: which operations are atomic
# depends on server, client and mount options.
NETWORK = {
    "9p", "afs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4",
    "smb3", "smbfs", "virtiofs",
}  # fmt: skip


def check(context: CheckContext) -> Iterator[Finding]:
    """Open every table."""
    settings = context.require_settings()
    storage = Storage.of(settings)
    if not storage.on_s3 and not Path(storage.root).is_dir():
        if Path(storage.root).exists():
            todo = "Set SEMLOOP_LAKE to a folder or s3://bucket/prefix."
            yield fail(CHECK, f"{storage.root} is not a folder", todo)
            return
        reason = f"There is no lake at {storage.root} yet."
        todo = "Create it with `semloop up`, or set SEMLOOP_LAKE to your lake."
        raise Skipped(reason, todo)
    layout.check(storage)
    if layout.is_older(storage):
        found = f"layout {layout.stored(storage)} of an earlier version: its files are "
        yield warn(CHECK, found + "not merged", layout.UPGRADE)
    snapshots = {table: read_snapshot(storage, table) for table in DELTA_TABLES}
    tables = [_summary(snapshot) for snapshot in snapshots.values() if snapshot]
    context.storage = storage
    yield ok(CHECK, f"tables: {', '.join(tables)}" if tables else "no tables yet")
    if not storage.on_s3:
        yield from _file_system(Path(storage.root), MOUNTS)


def _summary(snapshot: Snapshot) -> str:
    files = format_count(len(snapshot.files), "file")
    return f"{snapshot.table} (version {snapshot.version:,}, {files})"


def _file_system(folder: Path, mounts: Path) -> Iterator[Finding]:
    kind = file_system(folder, mounts)
    if kind in NETWORK or kind.startswith("fuse."):
        todo = "Use a local disk, or a lake on S3 for several machines."
        found = f"{kind} is a network file system: it may not prevent two writers from "
        yield warn(CHECK, f"{found}overwriting each other's commits", todo)
    elif kind:
        yield ok(CHECK, f"file system {kind}")


def file_system(folder: Path, mounts: Path) -> str:
    """Return the type of a folder's file system; empty without a list of mounts."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    resolved = folder.resolve()
    for line in lines:
        _, escaped, kind, *_ = line.split(" ")
        # Whitespace and backslashes in paths are octal escapes.
        plain = escaped.encode("utf-8", "surrogateescape").decode("unicode_escape")
        point = Path(plain.encode("latin-1").decode("utf-8", "surrogateescape"))
        # If two are mounted at the same point, the later one is visible.
        if resolved.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = kind, len(point.parts)
    return found
