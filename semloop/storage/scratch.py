"""A temporary folder that does not outlive its process, even if that is killed."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Exists once its process has locked it; the system releases the lock of a dead one.
LOCK = "lock"


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Create an empty folder for temporary files, and remove those of dead processes.

    Args:
        prefix: of the names of all such folders.

    Raises:
        OSError: the file system refuses.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError):  # another user's, or removed meanwhile
            _remove_if_left(folder)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    draft = folder / "draft"
    try:
        with draft.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            draft.rename(folder / LOCK)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    with (folder / LOCK).open("r") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
