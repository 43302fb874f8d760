"""Records of a faulty producer: invalid records, and a duplicate event.

They are produced directly, because the SDK rejects them.
"""

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from semloop.errors import BrokerError
from semloop.kafka.clients import producer_config
from semloop.settings import Settings

AGENT = "old-crm"
SESSION = "old-crm-0001"
DELIVERED_S = 60.0
# Deeper than the limit for events.
DEPTH = 70


@dataclass(frozen=True)
class Sent:
    """Number of records of each kind."""

    dead_letters: int
    events: int
    repeated: int

    @property
    def records(self) -> int:
        """The total."""
        return self.dead_letters + self.events + self.repeated


def broken_records() -> list[bytes]:
    """Return records none of which is a valid event."""
    text = json.dumps(_event())
    return [
        b"<event agent='old-crm' mail='ann.berg@example.com'/>",
        text[: len(text) // 2].encode(),  # truncated
        text.replace("hello", "caf\udce9").encode("utf-8", "surrogateescape"),
        json.dumps(_event(payload={"tool": "crm.find"})).encode(),  # no status
        json.dumps(_event(meta={})).encode(),  # no session
        json.dumps({k: v for k, v in _event().items() if k != "id"}).encode(),
        json.dumps(_event(payload=_call(duration_ms="120 ms"))).encode(),
        json.dumps(_event(payload=_call(duration_ms=True))).encode(),
        json.dumps(_event(payload=_call(duration_ms=float("nan")))).encode(),
        json.dumps(_event(payload=_call(arguments=_nested()))).encode(),
        json.dumps(_event(type="tool_called")).encode(),
        json.dumps(_event(timestamp="2099-01-01T00:00:00Z")).encode(),
    ]


def produce(settings: Settings) -> Sent:
    """Send the invalid records, two events, and one of these again.

    Raises:
        BrokerError: the broker did not acknowledge them.
    """
    from confluent_kafka import Producer

    broken = broken_records()
    first, second = json.dumps(_event()).encode(), json.dumps(_event()).encode()
    producer = Producer(producer_config(settings))
    failed: list[str] = []
    for value in (*broken, first, second, first):
        producer.produce(
            settings.topic, value, SESSION,
            on_delivery=lambda error, _: failed.append(error.name()) if error else None,
        )  # fmt: skip
    if producer.flush(DELIVERED_S) or failed:
        msg = "The broker did not acknowledge the invalid records: "
        msg += f"{failed or 'timed out'}."
        raise BrokerError(msg, "Run the demo again.")
    return Sent(len(broken), events=2, repeated=1)


def _event(**fields: Any) -> dict[str, Any]:
    """Return a valid event with these fields replaced."""
    return {
        "id": str(uuid.uuid4()),
        "type": "tool_call",
        "timestamp": datetime.now(UTC).isoformat(),
        "agent": AGENT,
        "payload": _call(),
        "meta": {"session_id": SESSION},
        **fields,
    }


def _call(**fields: Any) -> dict[str, Any]:
    return {"tool": "crm.find", "status": "success", "result": "hello", **fields}


def _nested() -> list[Any]:
    found: list[Any] = []
    for _ in range(DEPTH):
        found = [found]
    return found
