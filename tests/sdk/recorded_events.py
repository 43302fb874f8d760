"""A session whose events stay in the process, as the archive would store them."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from operators.decoding.decode import decode
from semloop.agent.events import encode
from semloop.agent.session import Session
from tests.support.builders import NOW, a_poll

BYTES_MAX = 4 * 2**20


def stored(kind: str, payload: Mapping[str, object], **meta: object) -> dict[str, Any]:
    """Return an event as its agent sends it; the archive must accept it."""
    return stored_with(None, kind, payload, BYTES_MAX, **meta)


def stored_with(
    metadata: Mapping[str, object] | None,
    kind: str,
    payload: Mapping[str, object],
    bytes_max: int,
    **meta: object,
) -> dict[str, Any]:
    """Return an event with metadata as its agent sends it."""
    meta = {"session_id": "s-1", **meta}
    event_id = str(uuid.uuid4())
    event = encode(
        kind, event_id, "tester", NOW, payload, meta, bytes_max, _ignored, metadata
    )
    assert len(event) <= bytes_max
    decoded = decode(a_poll(event), NOW, BYTES_MAX)
    assert decoded.dead_letters["detail"].to_pylist() == []
    assert decoded.events["event_id"].to_pylist() == [event_id]
    found: dict[str, Any] = json.loads(event)
    return found


def recorded(result: object, *, bytes_max: int = BYTES_MAX) -> tuple[Any, list[str]]:
    """Return the result that is stored of a tool, and the notes."""
    payload = {"tool": "t", "status": "success", "result": result}
    found = stored_with(None, "tool_call", payload, bytes_max)["payload"]
    return found.get("result"), found.get("semloop_notes", [])


class Recorded:
    """A session, and its events: their types, payloads, `meta` and metadata."""

    def __init__(self, metadata: Any = None, **meta: object) -> None:
        self.events: list[dict[str, Any]] = []
        meta = {"session_id": "s-1", **meta}
        self.session = Session(self._emit, meta, agent=self, metadata=metadata)

    def _emit(
        self,
        kind: str,
        meta: Mapping[str, object],
        payload: Mapping[str, object],
        metadata: Mapping[str, object] | None,
    ) -> str:
        self.events.append(stored_with(metadata, kind, payload, BYTES_MAX, **meta))
        return ""

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [event["payload"] for event in self.events]

    @property
    def metadata(self) -> list[Any]:
        return [event.get("metadata") for event in self.events]

    @property
    def tools(self) -> list[str]:
        return [payload["tool"] for payload in self.payloads]

    def span_of(self, tool: str) -> tuple[str, str | None]:
        """Return the ids of the span of the only call of a tool, and of its parent."""
        [meta] = [e["meta"] for e in self.events if e["payload"].get("tool") == tool]
        return meta["span_id"], meta.get("parent_span_id")

    def call(self) -> dict[str, Any]:
        """Return the payload of the only call, without its duration."""
        (payload,) = self.payloads
        assert payload.pop("duration_ms") >= 0
        return payload


def _ignored(problem: object) -> None:
    """The problem of a field that is left out."""
