"""The page of the identifiers' bounds, from the JSON Schema of an event."""

from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.markdown import table
from schemas.json_schema import schema
from semloop import event

INTRODUCTION = """# Bounds of identifiers

An event with a longer identifier becomes a dead letter, reason `invalid_value`; its
`detail` names the field. `semloop.Agent` refuses it before it is sent. The bounds apply
to what is stored, after redaction. Texts have no bound of their own, only the bound of
the whole event. Any character is allowed; the commands escape those that control a
terminal. Source: `semloop/event.py`.

"""
HEADER = ("in", "field", "characters", "bytes at most", "values at most")


def page() -> str:
    """Return the page."""
    return INTRODUCTION + table(HEADER, _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    found = schema()
    definitions = found["$defs"]
    places = {"the event": found, "`meta`": definitions["Meta"]}
    places |= {
        f"`payload` of `{name}`": definitions[struct.__name__]
        for name, struct in event.PAYLOADS.items()
    }
    for place, content in places.items():
        for name, field in content["properties"].items():
            if bounds := _bounds(field):
                yield place, f"`{name}`", *bounds


def _bounds(field: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return characters, bytes and values of a field; None if it has no bound."""
    for kind in field.get("anyOf", [field]):
        item = kind.get("items", kind)
        if "maxLength" in item:
            chars = item["maxLength"]
            return (
                f"{item.get('minLength', 0)} to {chars}",
                f"{chars * event.CHAR_BYTES_MAX:,}",
                str(kind.get("maxItems", "")),
            )
    return None
