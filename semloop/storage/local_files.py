"""Atomic and durable creation of files in folders."""

import fcntl
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


def create_exclusive(path: Path, data: bytes, mode: int) -> bool:
    """Create a file with its content atomically, unless it exists.

    Returns:
        True if this call created it; one of several concurrent calls does.

    Raises:
        OSError: the file system refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, data, mode)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    _sync_folder(path.parent)
    return True


def replace_unchanged(path: Path, seen: bytes, data: bytes) -> bool:
    """Replace a file atomically, unless its content is no longer `seen`.

    The file keeps its permissions.

    Returns:
        True if this call replaced it; one of several concurrent calls does.

    Raises:
        OSError: the file system refuses.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # Held for a few milliseconds; the system releases the lock of a dead process.
        fcntl.flock(folder, fcntl.LOCK_EX)
        try:
            if path.read_bytes() != seen:
                return False
        except FileNotFoundError:
            return False
        _draft(path, data, stat.S_IMODE(path.stat().st_mode)).replace(path)
        os.fsync(folder)
        return True
    finally:
        os.close(folder)


def write_durable(path: Path, data: "Buffer") -> None:
    """Write a new file and sync it to disk before returning.

    Raises:
        FileExistsError: the file exists.
        OSError: the file system refuses; the file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        try:
            file.write(data)
            file.flush()
            # The log must not name a file whose content is lost in a power failure.
            os.fsync(file.fileno())
        except OSError:
            path.unlink()  # Retries would fill the disk with partial files.
            raise
    _sync_folder(path.parent)


def _draft(path: Path, data: bytes, mode: int) -> Path:
    """Write a durable file of another name next to `path`, and return its path."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink()
        raise
    return draft


def _sync_folder(path: Path) -> None:
    """Make new names in a folder durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
