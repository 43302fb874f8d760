"""Kafka's encoding of requests and responses.

Source: the protocol guide of Apache Kafka, "Protocol Primitive Types".
"""

import struct
from collections.abc import Callable, Collection
from typing import TypeVar

T = TypeVar("T")
# Of an array: more than the partitions of a topic, the members of a group.
ITEMS_MAX = 10_000
_I8, _I16, _I32, _I64 = (struct.Struct(f">{code}") for code in "bhiq")


class Malformed(Exception):
    """Raised for a request that is not encoded as its version requires."""


class Reader:
    """Reads the fields of a request in order; `compact` for flexible versions."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _unpack(self, layout: struct.Struct) -> int:
        try:
            (value,) = layout.unpack_from(self._data, self._at)
        except struct.error:
            raise Malformed from None
        self._at += layout.size
        return int(value)

    def i8(self) -> int:
        """Read a signed integer of 8 bits."""
        return self._unpack(_I8)

    def i16(self) -> int:
        """Read a signed integer of 16 bits."""
        return self._unpack(_I16)

    def i32(self) -> int:
        """Read a signed integer of 32 bits."""
        return self._unpack(_I32)

    def i64(self) -> int:
        """Read a signed integer of 64 bits."""
        return self._unpack(_I64)

    def flag(self) -> bool:
        """Read a boolean."""
        return self._unpack(_I8) != 0

    def take(self, size: int) -> bytes:
        """Read `size` bytes."""
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise Malformed
        found = self._data[self._at : end]
        self._at = end
        return found

    def _size(self, *, compact: bool, short: bool = False) -> int:
        """Read the size of a string or an array; -1 for null."""
        if compact:
            return self._unsigned() - 1
        return self.i16() if short else self.i32()

    def _unsigned(self) -> int:
        value = shift = 0
        while shift < 35:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise Malformed

    def text_or_none(self, *, compact: bool = False) -> str | None:
        """Read a nullable string."""
        size = self._size(compact=compact, short=True)
        if size < 0:
            return None
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise Malformed from None

    def text(self, *, compact: bool = False) -> str:
        """Read a string; null counts as empty."""
        return self.text_or_none(compact=compact) or ""

    def blob(self) -> bytes | None:
        """Read nullable bytes."""
        size = self.i32()
        return None if size < 0 else self.take(size)

    def array_or_none(
        self, item: Callable[[], T], *, compact: bool = False
    ) -> list[T] | None:
        """Read a nullable array."""
        count = self._size(compact=compact)
        if count < 0:
            return None
        if count > min(ITEMS_MAX, len(self._data) - self._at):
            # An item has at least one byte; no size may reserve more than was sent.
            raise Malformed
        return [item() for _ in range(count)]

    def array(self, item: Callable[[], T], *, compact: bool = False) -> list[T]:
        """Read an array; null counts as empty."""
        return self.array_or_none(item, compact=compact) or []

    def tags(self) -> None:
        """Skip the tagged fields at the end of a structure of a flexible version."""
        for _ in range(self._unsigned()):
            self._unsigned()
            self.take(self._unsigned())


class Writer:
    """Collects the fields of a response in order."""

    def __init__(self) -> None:
        self._parts: list[bytes | bytearray] = []

    def content(self) -> bytes:
        """Return what was written."""
        return b"".join(self._parts)

    def i8(self, value: int) -> None:
        """Write a signed integer of 8 bits."""
        self._parts.append(_I8.pack(value))

    def i16(self, value: int) -> None:
        """Write a signed integer of 16 bits."""
        self._parts.append(_I16.pack(value))

    def i32(self, value: int) -> None:
        """Write a signed integer of 32 bits."""
        self._parts.append(_I32.pack(value))

    def i64(self, value: int) -> None:
        """Write a signed integer of 64 bits."""
        self._parts.append(_I64.pack(value))

    def raw(self, value: "bytes | bytearray") -> None:
        """Write bytes without a size."""
        self._parts.append(value)

    def blob(self, value: "bytes | None") -> None:
        """Write nullable bytes."""
        self.i32(-1 if value is None else len(value))
        self._parts.append(value or b"")

    def text(self, value: str | None, *, compact: bool = False) -> None:
        """Write a nullable string."""
        encoded = (value or "").encode()
        if compact:
            self._unsigned(0 if value is None else len(encoded) + 1)
        else:
            self.i16(-1 if value is None else len(encoded))
        self._parts.append(encoded)

    def counted(self, items: Collection[T], *, compact: bool = False) -> Collection[T]:
        """Write the size of an array, and return its items for the caller to write."""
        self.count(len(items), compact=compact)
        return items

    def clear(self) -> None:
        """Forget what was written: there is no response."""
        self._parts.clear()

    def count(self, number: int, *, compact: bool = False) -> None:
        """Write the size of an array."""
        if compact:
            self._unsigned(number + 1)
        else:
            self.i32(number)

    def tags(self, *, compact: bool = True) -> None:
        """Write that a structure of a flexible version has no tagged fields."""
        if compact:
            self._parts.append(b"\0")

    def _unsigned(self, value: int) -> None:
        encoded = bytearray()
        while value >= 0x80:
            encoded.append(value & 0x7F | 0x80)
            value >>= 7
        encoded.append(value)
        self._parts.append(bytes(encoded))
