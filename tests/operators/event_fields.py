"""The fields of all events, and events with one of them changed."""

from dataclasses import dataclass
from typing import Any

import msgspec

from semloop.event import PAYLOADS as STRUCTS
from semloop.event import Envelope, Meta
from tests.support.builders import PAYLOADS, an_event

ID = "0b9d7e1c-5f0e-4c39-9d5a-0a1b2c3d4e5f"


@dataclass(frozen=True)
class Field:
    """A field of an event.

    `chars_max` and `values_max` are its bounds, None for those that it has not.
    """

    kind: str
    place: str
    name: str
    required: bool
    is_text: bool
    chars_max: int | None
    values_max: int | None

    @property
    def path(self) -> str:
        """Path of the field in the event."""
        return ".".join(filter(None, (self.place, self.name)))

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


def event_with(field: Field, value: object) -> dict[str, Any]:
    """Return an event with this value in a field; `...` leaves the field out."""
    event = an_event(field.kind, id=ID, payload=PAYLOADS[field.kind], meta={})
    target = event[field.place] if field.place else event
    target.pop(field.name, None)
    if value is not ...:
        target[field.name] = value
    return event


def _fields() -> list[Field]:
    places: list[tuple[str, str, Any]] = [
        ("message", "", Envelope),
        ("message", "meta", Meta),
        *((kind, "payload", struct) for kind, struct in STRUCTS.items()),
    ]
    found = []
    for kind, place, struct in places:
        info = msgspec.inspect.type_info(struct)
        assert isinstance(info, msgspec.inspect.StructType)
        for field in info.fields:
            part = _not_null(field.type)
            item = getattr(part, "item_type", part)
            is_text = isinstance(item, msgspec.inspect.StrType)
            chars_max = getattr(item, "max_length", None) if is_text else None
            values_max = None if item is part else getattr(part, "max_length", None)
            found.append(
                Field(
                    kind, place, field.name, field.required, is_text, chars_max,
                    values_max,
                )
            )  # fmt: skip
    return found


def _not_null(kind: Any) -> Any:
    """Return the type of an optional field without null."""
    parts = getattr(kind, "types", (kind,))
    return next(p for p in parts if not isinstance(p, msgspec.inspect.NoneType))


FIELDS = _fields()
IDENTIFIERS = [field for field in FIELDS if field.chars_max]
