"""Atomic and durable creation of files in folders."""

import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from semloop.errors import SemLoopError
from semloop.settings import Settings, load

if TYPE_CHECKING:
    from typing_extensions import Buffer

PRIVATE_UMASK = 0o077


def close_new_files(settings: Settings | None = None) -> None:
    """Set this process's umask so that only the owner may read a local lake's files.

    For processes of our own: the native writers have no option for modes. A host
    program keeps its umask. With settings that are invalid, files are private.

    Args:
        settings: those of the environment if not given.
    """
    try:
        settings = settings or load()
        private = settings.lake_mode == "private" and not settings.on_s3
    except SemLoopError:  # the command reports it
        private = True
    if private:
        os.umask(PRIVATE_UMASK)


def create_exclusive(path: Path, data: bytes, mode: int) -> bool:
    """Create a file with its content atomically, unless it exists.

    Returns:
        True if this call created it; one of several concurrent calls does.

    Raises:
        OSError: the file system refuses.
    """
    make_folder(path.parent, mode)
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


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Write a file, or replace it by another, atomically but not durably.

    Raises:
        OSError: the file system refuses.
    """
    make_folder(path.parent, mode)
    _draft(path, data, mode, durable=False).replace(path)


def make_folder(folder: Path, mode: int) -> None:
    """Create a folder, and those above it, for files of this mode.

    An existing folder keeps its mode: it may be one that a user made.
    """
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_folder(folder.parent, mode)
    # Who may read a file of the folder may search the folder.
    folder.mkdir(exist_ok=True, mode=mode | (mode & 0o444) >> 2)


def write_durable(path: Path, data: "Buffer", mode: int = 0o600) -> None:
    """Write a new file and sync it to disk before returning.

    Raises:
        FileExistsError: the file exists.
        OSError: the file system refuses; the file is removed.
    """
    _write_new(path, mode, lambda file: file.write(data))


def copy_durable(source: Path, path: Path, mode: int = 0o600) -> None:
    """Copy a file to a new one, and sync it to disk before returning.

    Raises:
        FileExistsError: the file exists.
        OSError: the file system refuses; the file is removed.
    """
    with source.open("rb") as content:
        _write_new(path, mode, lambda file: shutil.copyfileobj(content, file))


def _write_new(path: Path, mode: int, write: Callable[[BinaryIO], object]) -> None:
    make_folder(path.parent, mode)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        try:
            write(file)
            file.flush()
            # The log must not name a file whose content is lost in a power failure.
            os.fsync(file.fileno())
        except OSError:
            path.unlink()  # Retries would fill the disk with partial files.
            raise
    _sync_folder(path.parent)


def _draft(path: Path, data: bytes, mode: int, *, durable: bool = True) -> Path:
    """Write a file of another name next to `path`, and return its path."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
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
