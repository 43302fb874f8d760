"""Record batches as producers send them, built without a client."""

import struct

from semloop.broker.crc32c import crc32c

HEADER = struct.Struct(">qiibIhiqqqhii")
NO_PRODUCER = -1


def a_batch(
    count: int = 1,
    *,
    size: int = 200,
    producer: int = NO_PRODUCER,
    epoch: int = 0,
    sequence: int = 0,
    timestamp_ms: int = 1_000,
) -> bytes:
    """Return a batch of `count` records; what follows the header is arbitrary."""
    fields = (
        *(0, size - 12, -1, 2, 0, 0, count - 1),
        *(timestamp_ms, timestamp_ms, producer, epoch, sequence, count),
    )
    batch = bytearray(HEADER.pack(*fields) + b"r" * (size - HEADER.size))
    batch[17:21] = crc32c(batch[21:]).to_bytes(4, "big")
    return bytes(batch)


def offsets(data: bytes) -> list[int]:
    """Return the offsets of the batches in the answer to a fetch."""
    found, start = [], 0
    while start < len(data):
        offset, length = struct.unpack_from(">qi", data, start)
        found.append(offset)
        start += length + 12
    return found
