"""A file in memory, which survives when the host program closes its descriptor.

Before Python 3.13, `mmap` keeps a copy of the descriptor and closes it at its end. A
host that becomes a daemon closes all descriptors; the number may then be that of a file
of the host. And the number of the copy may be one that the Kafka client used before,
and still writes to: it wakes its threads by single bytes.
"""

import mmap
import os
import stat
import sys
from pathlib import Path
from typing import Self

from semloop.agent.spool.layout import HEADER_BYTES

# Where the copy is searched: it is the next free number after that of the file.
NUMBERS_MAX = 64
OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Mapping(mmap.mmap):
    """A mapped file; it is not unmapped if that would close a file of the host.

    The copy is found by its file. If the host has the same file open at a number in
    between, that one is taken for it: the SDK's own file then, which no host opens.
    """

    _copy = -1
    _identity = (0, 0)

    @classmethod
    def of(cls, descriptor: int) -> Self:
        """Map all of a file, and set the position of the descriptor to its end.

        Raises:
            OSError: there are no more descriptors, or there is no memory.
        """
        # The copy shares the position: bytes that others write go after what is mapped.
        os.lseek(descriptor, 0, os.SEEK_END)
        if sys.version_info >= (3, 13):
            return cls(descriptor, 0, trackfd=False)
        mapping = cls(descriptor, 0)
        mapping._identity = identity_of(descriptor)
        for number in range(descriptor + 1, descriptor + NUMBERS_MAX):
            if is_of(number, mapping._identity):
                mapping._copy = number
                break
        return mapping

    def __del__(self) -> None:
        try:
            is_ours = self._copy < 0 or identity_of(self._copy) == self._identity
        except Exception:
            return  # it is closed, or the interpreter has ended
        if not is_ours:
            _kept.append(self)


_kept: list[Mapping] = []
# Refers to the list for longer than this module, to after the end of the host's files.
os.register_at_fork(after_in_child=_kept.__len__)


def map_own(path: Path) -> Mapping | None:
    """Map a file that this user wrote; None if it has no header yet.

    Raises:
        OSError: it cannot be opened, or others may have written it.
    """
    descriptor = os.open(path, OPEN)
    try:
        info = os.fstat(descriptor)
        private = not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid() or not private:
            raise PermissionError
        return Mapping.of(descriptor) if info.st_size >= HEADER_BYTES else None
    finally:
        os.close(descriptor)


def identity_of(descriptor: int) -> tuple[int, int]:
    """Return device and inode of an open file.

    Raises:
        OSError: it is closed.
    """
    info = os.fstat(descriptor)
    return info.st_dev, info.st_ino


def is_of(descriptor: int, identity: tuple[int, int]) -> bool:
    """Return True if a descriptor is open, and that of a file."""
    try:
        return identity_of(descriptor) == identity
    except OSError:
        return False
