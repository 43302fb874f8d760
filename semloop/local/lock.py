"""The lock of a lake's supervisor: `_local/lock`, with the name of the lake in it.

The system releases the lock of a dead process. The lock belongs to the file, so it
moves with a folder, and a copy made of hard links shares it. The name tells such a
lock from that of the lake itself.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from semloop.local.identity import LakeIdentity, bind

LOCK_FILE = "lock"
# Lists the locks of all processes: number, kind, mode, access, pid, MAJOR:MINOR:INODE.
LOCKS = Path("/proc/locks")
HOLDER_BYTES_MAX = 64 * 1024
TRIES_S = 2.0
POLL_S = 0.05


class Holder(msgspec.Struct, frozen=True):
    """The supervisor that holds a lock, and its lake."""

    pid: int
    lake: LakeIdentity


# Prepared while importing: msgspec crashes if a signal handler interrupts that.
_holder_of = msgspec.json.Decoder(Holder).decode


class StackLock:
    """A lock that this process holds."""

    def __init__(self, local: Path, descriptor: int, lake: LakeIdentity) -> None:
        self._local = local
        self._descriptor = descriptor
        self.lake = lake
        """The lake; it has had this identity since the lock was taken."""

    def keep(self) -> None:
        """Restore the lock and the identity of the lake if their files were damaged.

        Raises:
            OSError: the file system refuses.
        """
        bind(self._local, [self.lake])
        with suppress(FileNotFoundError):
            found = os.stat(self._local / LOCK_FILE)
            if os.path.samestat(found, os.fstat(self._descriptor)):
                if _holder(self._descriptor) is None:
                    _write_holder(self._descriptor, self.lake)
                return
        with alone(self._local):
            descriptor = _taken(self._local)
            if descriptor is not None:
                _write_holder(descriptor, self.lake)
                self.release()
                self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)


def is_held(local: Path) -> bool:
    """Return True if a supervisor of the lake with this folder `_local` runs."""
    held, holder = _state(local)
    # Without a name the supervisor is about to write it.
    return held and (holder is None or holder.lake.is_here(local))


def moved_holder(local: Path) -> Holder | None:
    """Return the supervisor whose folder was moved here; None if it does not run."""
    held, holder = _state(local)
    if not held or holder is None or holder.lake.is_here(local):
        return None
    return holder if holder.lake.has_folder(local) else None


def owner_pid(local: Path) -> int | None:
    """Return the process that has the lock, of any version of the program.

    None if that is not certain, as on systems without `/proc`, for a process of another
    container, and on file systems whose files have another device than their locks.
    """
    try:
        found = os.stat(local / LOCK_FILE)
        lines = [line.split() for line in LOCKS.read_text().splitlines()]
    except OSError:
        return None
    major, minor = os.major(found.st_dev), os.minor(found.st_dev)
    file = f"{major:02x}:{minor:02x}:{found.st_ino}"
    pids = {int(at[4]) for at in lines if at[1] == "FLOCK" and at[5] == file}
    return pids.pop() if len(pids) == 1 and all(map(_is_semloop, pids)) else None


def _is_semloop(pid: int) -> bool:
    try:
        return b"semloop" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@contextmanager
def held_lock(local: Path, *known: LakeIdentity | None) -> Iterator[StackLock | None]:
    """Hold the lock for the block; yield None if another supervisor has it.

    The lake gets an identity if it has none, or only that of the lake it was copied
    from.

    Args:
        local: the folder `_local`.
        known: identities in other files, for a lake whose own file is lost.
    """
    lock = None
    with alone(local):
        descriptor = _taken(local)
        if descriptor is not None:
            lock = StackLock(local, descriptor, bind(local, known))
            _write_holder(descriptor, lock.lake)
    try:
        yield lock
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def alone(local: Path) -> Iterator[None]:
    """Let one process at a time take the lock, so that each sees a lock with a name."""
    folder = os.open(local, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS does not lock folders
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _taken(local: Path) -> int | None:
    """Return a descriptor with the lock; None if another supervisor has it."""
    path = local / LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    shared = os.fstat(descriptor).st_nlink > 1
    if _flock(descriptor):
        if not shared:
            return descriptor
    else:
        holder = _holder(descriptor)
        if holder is None or holder.lake.has_folder(local):
            os.close(descriptor)
            return None
    os.close(descriptor)
    # The file is a hard link to that of another lake: this lake needs one of its own.
    draft = local / f"{LOCK_FILE}.part"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    draft.replace(path)
    return descriptor if _flock(descriptor) else None


def _state(local: Path) -> tuple[bool, Holder | None]:
    """Return whether the lock is held, and by whom according to the file."""
    try:
        descriptor = os.open(local / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False, None
    try:
        # Shared, so that two checks do not mistake each other for a supervisor.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True, _holder(descriptor)
    finally:
        os.close(descriptor)
    return False, None


def _holder(descriptor: int) -> Holder | None:
    try:
        data = os.pread(descriptor, HOLDER_BYTES_MAX, 0)
        return _holder_of(data)
    except (OSError, msgspec.MsgspecError):
        return None


def _write_holder(descriptor: int, lake: LakeIdentity) -> None:
    data = msgspec.json.encode(Holder(os.getpid(), lake)) + b"\n"
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)


def _flock(descriptor: int) -> bool:
    deadline = time.monotonic() + TRIES_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # It may be another process that checks the lock.
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        else:
            return True
