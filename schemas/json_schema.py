"""JSON Schemas of events and of published messages, generated from their structs.

`python -m schemas.json_schema` writes `*.schema.json`, for producers and subscribers in
other languages; a test checks that the files are up to date.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from semloop import event
from semloop.published import PUBLISHED, PublishedTopic

FILE = Path(__file__).with_name("event_envelope.schema.json")
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the schema of an event: the envelope, and the payload for each type."""
    structs = [event.Envelope, *event.PAYLOADS.values()]
    _, components = msgspec.json.schema_components(
        [_described(struct) for struct in structs], ref_template="#/$defs/{name}"
    )
    envelope = components.pop("Envelope")
    return {
        "$schema": DIALECT,
        "$id": f"urn:semloop:event:{event.SCHEMA_VERSION}",
        **envelope,
        "title": f"SemLoop event, version {event.SCHEMA_VERSION}",
        "description": "One Kafka message. `type` determines the form of `payload`. "
        "null is the same as an absent field where a field is optional.",
        "allOf": [
            _payload_of(name, struct.__name__)
            for name, struct in event.PAYLOADS.items()
        ],
        "$defs": components,
    }


def message_schema(topic: PublishedTopic) -> dict[str, Any]:
    """Return the schema of the messages of a topic that SemLoop produces to."""
    (_,), components = msgspec.json.schema_components(
        [topic.message], ref_template="#/$defs/{name}"
    )
    name = topic.message.__name__
    return {
        "$schema": DIALECT,
        "$id": f"urn:semloop:{topic.name}:1",
        **components[name],
        "title": f"A message of the topic {topic.name}, version 1",
    }


def texts() -> dict[Path, str]:
    """Return the content of each file."""
    found = {FILE: schema()}
    for topic in PUBLISHED.values():
        found[FILE.with_name(f"{topic.name}.schema.json")] = message_schema(topic)
    return {file: json.dumps(each, indent=2) + "\n" for file, each in found.items()}


def _payload_of(event_type: str, definition: str) -> dict[str, Any]:
    return {
        "if": {
            "required": ["type"],
            "properties": {"type": {"const": event_type}},
        },
        "then": {"properties": {"payload": {"$ref": f"#/$defs/{definition}"}}},
    }


def _described(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Copy a struct, with type "any JSON" for its raw fields.

    msgspec cannot write a raw default into a schema ("Encoding objects of type
    msgspec.Raw is unsupported"), but omits an unset default.
    """
    fields: list[Any] = []
    for field in msgspec.structs.fields(struct):
        kind = Any if field.type is msgspec.Raw else field.type
        if field.required:
            fields.append((field.name, kind))
        elif field.type is msgspec.Raw:
            fields.append((field.name, Any, msgspec.UNSET))
        else:
            fields.append((field.name, kind, field.default))
    copy = msgspec.defstruct(struct.__name__, fields)
    copy.__doc__ = struct.__doc__
    return copy


if __name__ == "__main__":
    for file, text in texts().items():
        file.write_text(text, encoding="utf-8")
