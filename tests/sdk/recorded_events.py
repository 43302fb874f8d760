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
    meta = {"session_id": "s-1", **meta}
    event_id = str(uuid.uuid4())
    event = encode(kind, event_id, "tester", NOW, payload, meta, BYTES_MAX, _ignored)
    assert len(event) <= BYTES_MAX
    decoded = decode(a_poll(event), NOW, BYTES_MAX)
    assert decoded.dead_letters["detail"].to_pylist() == []
    assert decoded.events["event_id"].to_pylist() == [event_id]
    found: dict[str, Any] = json.loads(event)
    return found


def recorded(result: object) -> tuple[Any, list[str]]:
    """Return the result that is stored of a tool, and the notes."""
    payload = {"tool": "t", "status": "success", "result": result}
    found = stored("tool_call", payload)["payload"]
    return found.get("result"), found.get("semloop_notes", [])


class Recorded:
    """A session, the payloads of its events, and their types."""

    def __init__(self) -> None:
        self.payloads: list[dict[str, Any]] = []
        self.kinds: list[str] = []
        self.session = Session(self._emit, {"session_id": "s-1"})

    def _emit(
        self, kind: str, meta: Mapping[str, object], payload: Mapping[str, object]
    ) -> str:
        self.kinds.append(kind)
        self.payloads.append(stored(kind, payload)["payload"])
        return ""

    def call(self) -> dict[str, Any]:
        """Return the payload of the only call, without its duration."""
        (payload,) = self.payloads
        assert payload.pop("duration_ms") >= 0
        return payload


def _ignored(problem: object) -> None:
    """The problem of a field that is left out."""
