"""Records -> records in which private content is pseudonyms; the first step of a flow.

It runs before anything is decoded, so that nothing private travels further: not in
events, dead letters, keys or ids. A gate in Arrow sees every record; Python only those
that it hits.
"""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from operators.redactor import Redactor

Raw = TypeVar("Raw", bytes, str)

# With these a pattern depends on where its text ends, which raw bytes do not show.
ANCHOR = re.compile(r"(?<!\[)\^|\$|\\[Az]")

# Kafka headers as the source writes them: names may repeat, a value may be absent.
decode_headers = msgspec.json.Decoder(list[tuple[str, str | None]]).decode


def redact(
    records: pa.RecordBatch, redactor: Redactor, bytes_max: int
) -> pa.RecordBatch:
    """`schemas.arrow.RECORDS` -> the same with `value`, `key` and `headers` cleaned.

    The same batch if nothing changed. A value longer than `bytes_max` stays as it is,
    since only its hash is stored; null stays null.
    """
    records = _clean(records, "value", redactor, redactor.json, bytes_max)
    records = _clean(records, "key", redactor, redactor.json)
    return _clean(records, "headers", redactor, lambda raw: _headers(raw, redactor))


def suspects(column: pa.Array, redactor: Redactor) -> pa.Array:
    """The numbers of the rows, binary or text, that may hold something private."""
    # Bytes are matched as Latin-1: a record that is not UTF-8 is no special case.
    raw = column.view(pa.binary())
    rows = pc.indices_nonzero(pc.match_substring_regex(raw, redactor.hint))
    hits = pc.match_substring_regex(raw.take(rows), redactor.gate)
    rows = rows.filter(hits)
    if not redactor.patterns:
        return rows
    # Own patterns may hold letters beyond ASCII. RE2 takes invalid UTF-8 as it comes.
    own_gate = _own_gate(redactor.patterns.values())
    own = pc.match_substring_regex(column.view(pa.string()), own_gate)
    return pc.unique(pa.concat_arrays([rows, pc.indices_nonzero(own)])).sort()


def _clean(
    records: pa.RecordBatch,
    name: str,
    redactor: Redactor,
    clean: Callable[[Raw], Raw],
    bytes_max: int | None = None,
) -> pa.RecordBatch:
    """The records with one column cleaned, except where it is longer than that."""
    column = records.column(name)
    changed: dict[int, Raw] = {}
    for row in suspects(column, redactor).to_pylist():
        old: Raw = column[row].as_py()
        new = old if bytes_max is not None and len(old) > bytes_max else clean(old)
        if new is not old:
            changed[row] = new
    if not changed:
        return records
    mask = pa.array(row in changed for row in range(len(column)))
    cleaned = pc.replace_with_mask(
        column, mask, pa.array(list(changed.values()), column.type)
    )
    index = records.schema.get_field_index(name)
    return records.set_column(index, records.schema.field(index), cleaned)


def _headers(raw: str, redactor: Redactor) -> str:
    """Kafka headers with names as keys: `authorization` makes its value private."""
    try:
        pairs = decode_headers(raw)
    except (msgspec.DecodeError, RecursionError):
        return redactor.json(raw.encode()).decode("utf-8", "replace")
    cleaned = [
        (redactor.text(name), value if value is None else redactor.under(name, value))
        for name, value in pairs
    ]
    return raw if cleaned == pairs else msgspec.json.encode(cleaned).decode()


def _own_gate(patterns: Iterable[str]) -> str:
    if any(ANCHOR.search(pattern) for pattern in patterns):
        return ""  # matches everywhere
    # Behind an escape a record may hold anything.
    return "|".join([r"\\", *(f"(?:{pattern})" for pattern in patterns)])
