"""CRC-32C (Castagnoli), the checksum of a record batch. Source: RFC 3720, appendix B.4.

The standard library has only CRC-32, and a loop over bytes is slow. So the data are one
large number, whose bits are the coefficients of a polynomial. Its first part is folded
onto the rest, again and again: x^n is replaced by its remainder, which has 32 bits. A
fold is a few shifts of large numbers.
"""

from functools import cache

POLYNOMIAL = 0x82F63B78  # bits reversed, as all numbers here: x^31 is the lowest bit
FULL = 0xFFFFFFFF
# Fewer bits are shorter to look up byte by byte.
FOLDED_BITS = 128


def crc32c(data: "bytes | bytearray | memoryview") -> int:
    """Return the checksum of bytes."""
    value, bits = int.from_bytes(data, "little"), 8 * len(data)
    if bits < 32:
        return _looked_up(bytes(data), FULL) ^ FULL
    value ^= FULL
    while bits > FOLDED_BITS:
        value, bits = _folded(value, bits)
    # Zero bits before the first one change nothing.
    count = -(-bits // 8)
    rest = (value << (8 * count - bits)).to_bytes(count, "little")
    return _looked_up(rest, 0) ^ FULL


def _folded(value: int, bits: int) -> tuple[int, int]:
    """Return a shorter polynomial with the same remainder, and its length."""
    power = (bits - 1).bit_length() - 1
    kept = 1 << power
    folded = bits - kept
    first, product = value & ((1 << folded) - 1), 0
    for shift in _shifts(power):
        product ^= first << shift
    # The product has 31 bits more than its first factor; the ends must meet.
    missing = kept - (folded + 31)
    rest = value >> folded
    if missing >= 0:
        return rest ^ (product << missing), kept
    return (rest << -missing) ^ product, folded + 31


@cache
def _shifts(power: int) -> tuple[int, ...]:
    """Return the set bits of the remainder of x^(2^power)."""
    remainder = 1 << 30  # x^1
    for _ in range(power):
        remainder = _multiplied(remainder, remainder)
    return tuple(bit for bit in range(32) if remainder >> bit & 1)


def _multiplied(one: int, other: int) -> int:
    """Return the remainder of a product."""
    product = 0
    for bit in range(31, -1, -1):  # the coefficients of x^0, x^1, ...
        if other >> bit & 1:
            product ^= one
        one = (one >> 1) ^ (POLYNOMIAL if one & 1 else 0)
    return product


def _looked_up(data: bytes, value: int) -> int:
    table = _table()
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value


@cache
def _table() -> tuple[int, ...]:
    return tuple(_times_x8(byte) for byte in range(256))


def _times_x8(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (POLYNOMIAL if value & 1 else 0)
    return value
