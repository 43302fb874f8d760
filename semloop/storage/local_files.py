"""Atomic and durable creation of files in folders."""

import os
import secrets
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
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
        return True
    except FileExistsError:
        return False
    finally:
        draft.unlink()


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
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
