"""The position in a file, and whether the file still is the one that was read."""

import os
from hashlib import blake2b

import msgspec

# Bytes at the beginning, and before the position, that must not have changed.
PROOF_BYTES = 1024
DIGEST_BYTES = 12


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a file was read, up to the end of a line.

    device, inode: of the file; one that is renamed keeps them.
    path: digest of its path, which may be private.
    offset: bytes of the lines whose events were sent.
    proof: of the bytes before the offset.
    size, mtime_ns: of the file when it was read last.
    """

    device: int
    inode: int
    path: str
    offset: int
    proof: str
    size: int
    mtime_ns: int


def path_digest(path: str) -> str:
    """Return what a mark has of a path."""
    return _digest(os.fsencode(path))


def proof_of(descriptor: int, offset: int) -> str:
    """Return a digest of the first bytes of a file, and of those before an offset.

    A file that only grew has the same one. A tool that appends lines and changes one
    in the middle in place, with both ends as they were, would not be noticed.

    Raises:
        OSError: the file cannot be read.
    """
    size = min(offset, PROOF_BYTES)
    head = os.pread(descriptor, size, 0)
    tail = os.pread(descriptor, size, offset - size)
    return _digest(b"%d:%b%b" % (len(head), head, tail))


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
