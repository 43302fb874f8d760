"""Record batches, which the broker stores as they are sent, without their records.

Only the offset of a batch is changed: it is outside the part that the checksum covers.
Source: the guide of Apache Kafka, "Message Format".
"""

import mmap
import struct
from typing import NamedTuple

from semloop.broker.crc32c import crc32c
from semloop.broker.errors import Code, Refused

# Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, base and
# largest timestamp, producer id and epoch, base sequence, count.
_HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_BYTES = _HEADER.size
# Bytes before what `length` counts: base offset and length.
PREFIX_BYTES = 12
_PREFIX = struct.Struct(">qi")
_OFFSET_AND_EPOCH = struct.Struct(">qii")
_LAST_DELTA = struct.Struct(">i")
_LAST_DELTA_AT = 23
_LATEST = struct.Struct(">q")
_LATEST_AT = 35
_CRC = struct.Struct(">I")
_CRC_AT, _CRC_FROM = 17, 21
MAGIC = 2
# Bit of the attributes that marks batches of transactions.
TRANSACTIONAL = 0x10
SEQUENCES = 2**31


class Batch(NamedTuple):
    """Header of a batch."""

    size: int
    base_offset: int
    last_delta: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    first_sequence: int

    @property
    def last_sequence(self) -> int:
        """Sequence number of the last record."""
        return (self.first_sequence + self.last_delta) % SEQUENCES


def header_at(data: "bytes | mmap.mmap", start: int) -> Batch:
    """Return the header of the batch at `start`, which is complete."""
    header = _HEADER.unpack_from(data, start)
    base, length, _, _, _, _, last, _, latest, producer_id, epoch, sequence, _ = header
    return Batch(
        length + PREFIX_BYTES, base, last, latest, producer_id, epoch, sequence
    )


def only_batch(data: bytes) -> Batch:
    """Return the header of a produced batch, checked as far as a broker needs it.

    Raises:
        Refused: it is not one batch of format 2, or belongs to a transaction.
    """
    if len(data) < HEADER_BYTES:
        raise Refused(Code.CORRUPT_MESSAGE, "A batch is shorter than its header.")
    header = _HEADER.unpack_from(data)
    magic, attributes, last, count = header[3], header[5], header[6], header[12]
    if magic != MAGIC:
        raise Refused(Code.UNSUPPORTED_VERSION, "Only message format 2 is known.")
    batch = header_at(data, 0)
    if batch.size != len(data) or count < 1 or count != last + 1:
        raise Refused(Code.CORRUPT_MESSAGE, "A batch contradicts its header.")
    if attributes & TRANSACTIONAL:
        raise Refused(Code.INVALID_REQUEST, "The broker has no transactions.")
    return batch


def has_crc(data: bytes) -> bool:
    """Return True if the checksum of a batch is that of its content."""
    expected: int = _CRC.unpack_from(data, _CRC_AT)[0]
    return crc32c(memoryview(data)[_CRC_FROM:]) == expected


def placed(data: bytes, offset: int) -> bytearray:
    """Return a batch with its offset."""
    content = bytearray(data)
    length = _PREFIX.unpack_from(data)[1]
    _OFFSET_AND_EPOCH.pack_into(content, 0, offset, length, 0)
    return content


class Span(NamedTuple):
    """Size, offsets and latest timestamp of a stored batch."""

    size: int
    base_offset: int
    next_offset: int
    latest_ms: int


def span_at(data: "bytes | mmap.mmap", start: int) -> Span | None:
    """Return the span of a stored batch; None if there is no complete header."""
    if len(data) - start < HEADER_BYTES:
        return None
    base, length = _PREFIX.unpack_from(data, start)
    (last,) = _LAST_DELTA.unpack_from(data, start + _LAST_DELTA_AT)
    if data[start + 16] != MAGIC or length < HEADER_BYTES - PREFIX_BYTES or last < 0:
        return None
    (latest_ms,) = _LATEST.unpack_from(data, start + _LATEST_AT)
    return Span(length + PREFIX_BYTES, base, base + last + 1, latest_ms)
