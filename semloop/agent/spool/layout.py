"""How records lie in a segment.

A segment has a header of 16 bytes, then records, then zeros. A record starts at a
multiple of 8 bytes with three words of 32 bits in the byte order of the host:

    state (4 bits) and size (28 bits) | CRC-32 | size of the key | key | event

A process may be killed between any two instructions, so the order of writes matters:
the first word with the state `RESERVED`, then the content, then the first word again
with the state `WRITTEN`. One word is written by one instruction.
"""

import zlib
from mmap import mmap
from typing import NamedTuple

MAGIC = b"semloop-spool-1\n"
# Of a file whose states may lag behind: each of its records may be in the broker.
LAGGING_MAGIC = b"semloop-spool-l\n"
MAGICS = (MAGIC, LAGGING_MAGIC)
HEADER_BYTES = len(MAGIC)
RECORD_BYTES = 12

# States of a record; 0: there is no record, the segment ends here.
RESERVED = 1 << 28
"""A thread writes it, or did not finish."""
WRITTEN = 2 << 28
HANDED = 3 << 28
"""A producer had it: the broker may have it, too."""
DONE = 4 << 28
"""The broker has acknowledged it, or it was dropped and counted."""

STATE = 0xF << 28
SIZE_MAX = (1 << 28) - 1
# zlib gives up the interpreter's lock for more than 5 KiB; a busy thread then keeps it
# for 5 ms. Checksums of longer events are computed in pieces of this many bytes.
CRC_PIECE = 4096
CRC_PIECES_MAX = 256


def end_of(start: int, word: int) -> int:
    """Return where the record after this one starts, given its first word."""
    return (start + RECORD_BYTES + (word & SIZE_MAX) + 7) & ~7


def checksum(key: bytes, event: bytes) -> int:
    """Return the CRC-32 of the content of a record."""
    crc, size = zlib.crc32(key), len(event)
    if size <= CRC_PIECE or size > CRC_PIECE * CRC_PIECES_MAX:
        return zlib.crc32(event, crc)
    view = memoryview(event)
    for start in range(0, size, CRC_PIECE):
        crc = zlib.crc32(view[start : start + CRC_PIECE], crc)
    return crc


class Content(NamedTuple):
    """Key and event of a record."""

    key: bytes
    event: bytes


def content_at(
    memory: mmap | bytes, words: memoryview, start: int, *, check: bool = True
) -> Content | None:
    """Return the content of a record; None if it is damaged.

    Args:
        memory: the segment.
        words: the same as words of 32 bits.
        start: where the record starts.
        check: compare the checksum; this process need not for what it wrote itself.
    """
    index = start >> 2
    size, key_size = words[index] & SIZE_MAX, words[index + 2]
    begin = start + RECORD_BYTES
    if key_size > size or begin + size > len(memory):
        return None
    event_begin = begin + key_size
    key, event = memory[begin:event_begin], memory[event_begin : begin + size]
    if check and checksum(key, event) != words[index + 1]:
        return None
    return Content(key, event)
