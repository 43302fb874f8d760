"""Replaces private content in records by pseudonyms; the first step of a flow.

It runs before decoding, so that no later step receives private content, in events, dead
letters, keys or ids. Gates search whole columns; the redactor processes only the
records that they match.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from semloop.redaction.redactor import Redactor

Raw = TypeVar("Raw", bytes, str)

# Kafka headers as the source emits them: names may repeat, values may be null.
decode_headers = msgspec.json.Decoder(list[tuple[str, str | None]]).decode


def redact(
    records: pa.RecordBatch, redactor: Redactor, bytes_max: int
) -> pa.RecordBatch:
    """Redact `value`, `key` and `headers` of `schemas.arrow.RECORDS`.

    Returns the same batch if nothing changed. A value longer than `bytes_max` is not
    redacted, since only its hash is stored; null stays null.
    """
    records = _clean(records, "value", redactor, redactor.json, bytes_max)
    records = _clean(records, "key", redactor, lambda raw: _key(raw, redactor))
    return _clean(records, "headers", redactor, lambda raw: _headers(raw, redactor))


def suspects(column: pa.Array, redactor: Redactor) -> list[int]:
    """Return the rows of a binary or text column that may be private."""
    if len(column) == 0:
        return []
    text, starts = _joined(column)
    rows: set[int] = set()
    for gate in redactor.gates:
        at, end = starts[0], starts[len(column)]
        while at < end and (match := gate.search(text, at, end)):
            start, stop = match.span()
            # A match may begin with the last character of the row before.
            for place in (start, min(start + 1, max(start, stop - 1))):
                row = bisect_right(starts, place, 0, len(column)) - 1
                rows.add(row)
            at = starts[row + 1]
    return sorted(rows)


def _joined(column: pa.Array) -> tuple[memoryview, Sequence[int]]:
    """Join all rows; return the text and the start of each row, and the end.

    A gate that is compiled once and searches a whole batch costs a third of the Arrow
    kernel, which compiles the expression and builds its automaton at each call.
    """
    rows = column.view(pa.binary())
    # Rows that start with a brace need no separator: to a gate it is like the end.
    if rows.null_count or not pc.all(pc.starts_with(rows, "{")).as_py():
        rows = pc.binary_join_element_wise(rows.fill_null(b""), b"", b"\n")
    _, starts, text = rows.buffers()
    ends = memoryview(starts).cast("i")[rows.offset : rows.offset + len(rows) + 1]
    return memoryview(text), ends


def _clean(
    records: pa.RecordBatch,
    name: str,
    redactor: Redactor,
    clean: Callable[[Raw], Raw],
    bytes_max: int | None = None,
) -> pa.RecordBatch:
    """Redact one column, except values longer than `bytes_max`."""
    column = records.column(name)
    changed: dict[int, Raw] = {}
    for row in suspects(column, redactor):
        old: Raw | None = column[row].as_py()
        if old is None or (bytes_max is not None and len(old) > bytes_max):
            continue
        new = clean(old)
        if new != old:
            changed[row] = new
    if not changed:
        return records
    mask = pa.array(row in changed for row in range(len(column)))
    cleaned = pc.replace_with_mask(
        column, mask, pa.array(list(changed.values()), column.type)
    )
    index = records.schema.get_field_index(name)
    return records.set_column(index, records.schema.field(index), cleaned)


def _key(raw: bytes, redactor: Redactor) -> bytes:
    """Redact a key as text, even if it is JSON, since the session id is text too."""
    text = raw.decode("utf-8", "surrogateescape")
    cleaned = redactor.text(text)
    return raw if cleaned is text else cleaned.encode("utf-8", "surrogateescape")


def _headers(raw: str, redactor: Redactor) -> str:
    """Redact headers; names are keys: the value of `authorization` is private."""
    try:
        pairs = decode_headers(raw)
    except (msgspec.DecodeError, RecursionError):
        return redactor.json(raw.encode()).decode("utf-8", "replace")
    cleaned = [
        (redactor.text(name), None if value is None else redactor.text(value, name))
        for name, value in pairs
    ]
    return raw if cleaned == pairs else msgspec.json.encode(cleaned).decode()
