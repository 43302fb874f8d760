"""The checksum of record batches."""

import random

from semloop.broker.crc32c import POLYNOMIAL, crc32c


def bit_by_bit(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (POLYNOMIAL if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def test_the_checksum_is_that_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(b"") == 0


def test_any_length_at_any_place_has_the_checksum_of_its_bytes() -> None:
    data = random.Random(1).randbytes(200)
    for start in range(5):
        for end in range(start, 200, 7):
            part = memoryview(data)[start:end]
            assert crc32c(part) == bit_by_bit(bytes(part))
