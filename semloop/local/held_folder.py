"""A folder that a process recognizes after it was moved, replaced or deleted."""

import os
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")


class HeldFolder:
    """A folder that is kept open: while it is, no other one gets its inode."""

    def __init__(self, path: Path) -> None:
        """Open the folder.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def is_in_place(self) -> bool:
        """Return False if the path now leads to another folder or to none.

        If the file system refuses the question, nothing is known to have changed.
        """
        try:
            return self._is(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    def present_path(self) -> Path | None:
        """Return where the folder is now; None if it was deleted or it is not known."""
        try:
            path = Path(os.readlink(DESCRIPTORS / str(self._descriptor)))
            return path if self._is(path) else None
        except OSError:
            return None

    def close(self) -> None:
        """Stop holding the folder."""
        os.close(self._descriptor)

    def _is(self, path: Path) -> bool:
        return os.path.samestat(os.stat(path), os.fstat(self._descriptor))
