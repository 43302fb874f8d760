"""Sends events again that the broker may have: of the spool, in their order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from semloop.agent.broker_search import error_name
from semloop.event import IDEMPOTENCY_HEADER

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

# For the acknowledgements of one part of the spool; then the broker counts as gone.
RESEND_S = 2.0
TOO_LARGE = "MSG_SIZE_TOO_LARGE"


class _Names(msgspec.Struct):
    """What of an event says where it goes."""

    class Meta(msgspec.Struct):
        session_id: str

    id: str
    meta: Meta


names_of = msgspec.json.Decoder(_Names).decode


def resend(producer: "Producer", topic: str, events: Sequence[bytes]) -> str:
    """Send events with the header that makes `archive` look their ids up.

    Args:
        producer: of the broker.
        topic: where they go.
        events: JSON; half a line of a disk that was full is skipped, and so is what
            the topic does not take for its size.

    Returns:
        why the broker counts as away; empty once it has all of them.
    """
    failed: list[str] = []

    def delivered(error: "KafkaError | None", _: "Message") -> None:
        if error is not None and error.name() != TOO_LARGE:
            failed.append(error.name())

    for event in events:
        try:
            names = names_of(event)
        except msgspec.MsgspecError:
            continue
        headers: dict[str, str | bytes | None] = {IDEMPOTENCY_HEADER: names.id}
        try:
            producer.produce(
                topic, event, names.meta.session_id,
                headers=headers, on_delivery=delivered,
            )  # fmt: skip
        except Exception as error:
            if error_name(error) != TOO_LARGE:
                return error_name(error)
    if producer.flush(RESEND_S) or failed:
        return "it does not acknowledge"
    return ""
