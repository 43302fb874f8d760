"""Files in folders that are there as a whole or not at all."""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


def make_once(path: Path, data: bytes, mode: int) -> bool:
    """Make a file with its content at once, if it is absent; whether this call did.

    Of several that try at once one makes it.

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


def write_new(path: Path, data: "Buffer") -> None:
    """Write a file that must not be there; it lasts before this returns.

    Raises:
        FileExistsError: it is there.
        OSError: the file system refuses; no part of the file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        try:
            file.write(data)
            file.flush()
            # After a power cut the log must not name a file without its content.
            os.fsync(file.fileno())
        except OSError:
            path.unlink()  # Every try would leave another piece on a full disk.
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
