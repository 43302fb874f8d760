"""Each word of a file is in an event, or is part of what the ledger counts.

A word is any string of a value, and any further field that a value may have. One of
them at a time is replaced by a mark, which then must be found.
"""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.lines import Record
from semloop.errors import ConfigError
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from sources.transcripts.registry import BY_NAME
from tests.sources.line_files import a_file
from tests.sources.transcript_samples import SAMPLES
from tests.sources.transcript_writers import START

MARK = "zq mark"
Place = tuple[str | int, ...]
# Fields that say what belongs together, when, and how an object is read. Their words
# are no content: ids of the tool, times, and kinds of objects.
ALL = frozenset([
    "id", "object", "created_at", "timestamp", "uuid", "trace_id", "start_time",
    "end_time", "type",
])  # fmt: skip
# Units that are left out as a whole, although a rating in them is an event.
UNITS = {"span"}
STRUCTURAL: dict[str, frozenset[str]] = {
    "ai-sdk": frozenset(["toolCallId", "state"]),
    "anthropic": frozenset(["tool_use_id"]),
    "chat": frozenset(["tool_call_id"]),
    "langchain": frozenset(["tool_call_id", "status"]),
    "responses": frozenset(["call_id", "status"]),
    "langsmith": frozenset(["parent_run_id", "run_type"]),
    "langfuse": frozenset(["traceId", "startTime", "endTime", "sessionId"]),
    "claude-code": frozenset([
        "sessionId", "parentUuid", "leafUuid", "requestId", "userType",
        "sourceToolAssistantUUID", "tool_use_id",
    ]),
    "codex": frozenset(["call_id"]),
    "atif": frozenset(["schema_version", "source_call_id"]),
    "openhands": frozenset(["source", "tool_call_id", "action_id", "kind"]),
    "swe-agent": frozenset(["trajectory_format", "agent", "message_type"]),
    "otlp": frozenset(["traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano",
                       "timeUnixNano", "key"]),
}  # fmt: skip


def read(folder: Path, form: str, values: list[Any]) -> tuple[bytes, Ledger]:
    """Import values; return all events as text, and the ledger."""
    ledger = Ledger()
    path = a_file(folder, b"\n".join(msgspec.json.encode(value) for value in values))
    reading = Reading(path, form, Options(file_time=START), ledger)
    records = [r.value for r in reading.records() if isinstance(r, Record)]
    ledger.check()
    return b"\n".join(records), ledger


def inside(value: Any) -> Iterator[tuple[str | int, Any]]:
    """Yield what is directly in an object or a list."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of each string."""
    if isinstance(value, str):
        yield place
    for name, inner in inside(value):
        yield from leaves(inner, (*place, name))


def objects(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of each object."""
    if isinstance(value, dict):
        yield place
    for name, inner in inside(value):
        yield from objects(inner, (*place, name))


def is_read(form: str, place: Place) -> bool:
    """Whether a place is one of figures, or says how an object is read."""
    named = [part for part in place if isinstance(part, str)]
    skipped = ALL | STRUCTURAL.get(form, frozenset())
    return not named or "usage" in named or named[-1] in skipped


def at(value: Any, place: Place) -> Any:
    for name in place:
        value = value[name]
    return value


def without(values: list[Any], place: Place) -> list[Any]:
    found = deepcopy(values)
    del at(found, place[:-1])[place[-1]]
    return found


def is_counted(folder: Path, form: str, values: list[Any], place: Place) -> bool:
    """Whether an object around a place makes no event, and is counted."""
    _, whole = read(folder, form, values)
    for end in range(len(place), 0, -1):
        if end == 1 and len(values) == 1:
            return False
        try:
            _, rest = read(folder, form, without(values, place[:end]))
        except ConfigError:
            return False  # Without it, the file is of no format.
        gone = {kind for kind, _ in whole.left_out - rest.left_out}
        if (rest.events == whole.events and gone) or gone & UNITS:
            return True
    return False


def check(folder: Path, name: str, values: list[Any], place: Place) -> None:
    form = name.partition(" ")[0]
    events, ledger = read(folder, form, values)
    reasons = " ".join(f"{kind} {reason}" for kind, reason in ledger.left_out)
    if MARK.encode() in events or MARK in reasons:
        return
    if any(f"`{part}`" in reasons for part in place if isinstance(part, str)):
        return
    assert is_counted(folder, form, values, place), f"{name}: {place}"


@pytest.mark.parametrize("name", SAMPLES)
def test_each_string_is_in_an_event_or_counted(tmp_path: Path, name: str) -> None:
    values = SAMPLES[name]
    for place in leaves(values):
        if is_read(name.partition(" ")[0], place):
            continue
        changed = deepcopy(values)
        at(changed, place[:-1])[place[-1]] = MARK
        check(tmp_path, name, changed, place)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_unknown_field_is_in_an_event_or_counted(
    tmp_path: Path, name: str
) -> None:
    values = SAMPLES[name]
    for place in objects(values):
        if {"usage", "attributes"} & set(place):
            continue
        changed = deepcopy(values)
        at(changed, place)["x_more"] = MARK
        check(tmp_path, name, changed, (*place, "x_more"))


def test_every_format_has_a_sample() -> None:
    # What becomes of rows is in tests of their own.
    sampled = {name.partition(" ")[0] for name in SAMPLES}
    assert sampled == set(BY_NAME) - {"rows", "csv", "yaml"}
