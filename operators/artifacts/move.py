"""Moves the largest values of large records out of them, after redaction.

Input and output: `Polled`. A record that was produced with more than `row_bytes_max`
bytes keeps its event: its largest values are replaced by placeholders until `payload`
and `extra` fit, and wait in `Polled.large` for the sink.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from operators.artifacts.choose import VALUE_BYTES_MIN, choose
from operators.artifacts.json_nodes import Node, large_nodes, path_of
from operators.decoding.validation import too_deep
from schemas.batches import Polled
from schemas.large_record import LargeRecord, MovedValue
from semloop.artifacts import Column, placeholder
from semloop.event import PAYLOADS, Envelope, Meta

# The one text of `meta` without a bound.
TASK = "task"
KNOWN_META = frozenset(Meta.__struct_fields__) - {TASK}
decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
# Texts without a bound of their length. The other fields of the schema are
# identifiers and numbers: too long ones are errors.
LONG_TEXTS = frozenset(
    ("content", "message", "stack", "summary", "reason", "comment", "task")
)


def move_large_values(
    polled: Polled, row_bytes_max: int, record_bytes_max: int
) -> Polled:
    """Replace the largest values of large records by placeholders.

    Args:
        polled: redacted records, with the sizes that they were produced with.
        row_bytes_max: bytes of `payload` and `extra` of an event.
        record_bytes_max: larger records stay as they are: they become dead letters.
    """
    value = polled.records["value"]
    sizes = pc.binary_length(value) if polled.sizes is None else polled.sizes
    if (pc.max(sizes).as_py() or 0) <= row_bytes_max:
        return polled
    large: dict[int, LargeRecord] = {}
    for row, size in enumerate(sizes.to_pylist()):
        if size is not None and row_bytes_max < size <= record_bytes_max:
            raw = value[row].as_py()
            if (moved := move(raw, row_bytes_max)).values:
                large[row] = moved
    if not large:
        return polled
    mask = pa.array(row in large for row in range(len(value)))
    smaller = pa.array([record.smaller for record in large.values()], value.type)
    index = polled.records.schema.get_field_index("value")
    records = polled.records.set_column(
        index,
        polled.records.schema.field(index),
        pc.replace_with_mask(value, mask, smaller),
    )
    return replace(polled, records=records, sizes=sizes, large=large)


def move(raw: bytes, row_bytes_max: int) -> LargeRecord:
    """Return a record with its largest values moved; an invalid one as it is."""
    unchanged = LargeRecord(raw, raw, ())
    if too_deep(raw):
        return unchanged
    try:
        fields = decode_fields(raw)
        meta = decode_fields(fields["meta"])
        payload_size = len(fields["payload"])
        kind = msgspec.json.decode(fields["type"], type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        return unchanged
    unknown = [v for k, v in fields.items() if k not in Envelope.__struct_fields__]
    unknown += [v for k, v in meta.items() if k not in KNOWN_META]
    excess = payload_size + sum(map(len, unknown)) - row_bytes_max
    if excess <= 0:
        return unchanged
    # Of members with one name the last one counts.
    members = {_name(node): node for node in large_nodes(raw, VALUE_BYTES_MIN).children}
    payload = members.get("payload")
    if payload is not None and payload.size != payload_size:
        payload = None  # A smaller one follows.
    movable = _of_payload(payload, kind)
    movable += _unknown(members, frozenset(Envelope.__struct_fields__))
    if (outer := members.get("meta")) is not None:
        inner = {_name(node): node for node in outer.children}
        movable += [
            node
            for node in _unknown(inner, KNOWN_META)
            if node.is_text or _name(node) != TASK
        ]
    return _replaced(raw, choose(movable, excess), payload, outer)


def _name(node: Node) -> str:
    assert node.name is not None
    name: str = msgspec.json.decode(node.name, type=str)
    return name


def _of_payload(payload: Node | None, kind: str) -> list[Node]:
    """Return the values of a payload for which the schema accepts a string."""
    if payload is None or kind not in PAYLOADS:
        return []
    typed = {f.name: f.type for f in msgspec.structs.fields(PAYLOADS[kind])}
    movable = []
    for node in payload.children:
        name = _name(node)
        is_text = node.is_text and name in LONG_TEXTS
        if is_text or typed.get(name, msgspec.Raw) is msgspec.Raw:
            movable.append(node)
    return movable


def _unknown(members: Mapping[str, Node], known: frozenset[str]) -> list[Node]:
    """Return the values of fields that the schema does not have."""
    return [node for name, node in members.items() if name not in known]


def _column(node: Node, payload: Node | None, meta: Node | None) -> Column:
    if payload and payload.start <= node.start and node.end <= payload.end:
        return "payload"
    return "task" if node.parent is meta and _name(node) == TASK else "extra"


def _replaced(
    raw: bytes, nodes: list[Node], payload: Node | None, meta: Node | None
) -> LargeRecord:
    """Return the record with placeholders for the nodes, which are in its order."""
    pieces: list[bytes] = []
    values = []
    done = longer = longer_before_payload = 0
    for number, node in enumerate(nodes):
        content = raw[node.start : node.end]
        digest = sha256(content).hexdigest()
        text = content.decode()
        if node.is_text:
            text = msgspec.json.decode(content, type=str)
        token = msgspec.json.encode(placeholder(text, number, len(content), digest))
        column = _column(node, payload, meta)
        start = end = None
        if payload and column == "payload":
            start = node.start - payload.start + longer - longer_before_payload
            end = start + len(token)
        values.append(
            MovedValue(column, path_of(node, raw), content, digest, start, end)
        )
        pieces += [raw[done : node.start], token]
        done = node.end
        longer += len(token) - node.size
        if payload is None or node.start < payload.start:
            longer_before_payload = longer
    smaller = b"".join([*pieces, raw[done:]]) if pieces else raw
    return LargeRecord(raw, smaller, tuple(values))
