"""Sends spooled events, which the broker may already have, in order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from semloop.agent.broker_search import error_name
from semloop.event import IDEMPOTENCY_HEADER

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

# Timeout for the acknowledgements of one batch; after it the broker is unavailable.
RESEND_S = 2.0
TOO_LARGE = "MSG_SIZE_TOO_LARGE"


class EventIds(msgspec.Struct):
    """The fields of an event that its Kafka record needs as key and header."""

    class Meta(msgspec.Struct):
        """The fields of `meta`."""

        session_id: str

    id: str
    meta: Meta


event_ids = msgspec.json.Decoder(EventIds).decode


def resend(producer: "Producer", topic: str, events: Sequence[bytes]) -> str:
    """Send events with the header that makes `archive` look up their ids.

    Args:
        producer: a producer that is connected to the broker.
        topic: the topic to send to.
        events: JSON; skips truncated lines, which a full disk leaves, and events that
            are too large for the topic.

    Returns:
        why the broker is unavailable, or an empty text once it has all events.
    """
    failed: list[str] = []

    def delivered(error: "KafkaError | None", _: "Message") -> None:
        if error is not None and error.name() != TOO_LARGE:
            failed.append(error.name())

    for event in events:
        try:
            ids = event_ids(event)
        except msgspec.MsgspecError:
            continue
        headers: dict[str, str | bytes | None] = {IDEMPOTENCY_HEADER: ids.id}
        try:
            producer.produce(
                topic, event, ids.meta.session_id,
                headers=headers, on_delivery=delivered,
            )  # fmt: skip
        except Exception as error:
            if error_name(error) != TOO_LARGE:
                return error_name(error)
    if producer.flush(RESEND_S) or failed:
        return "it does not acknowledge events"
    return ""
