"""The fields of an event that its Kafka record needs as key and header."""

import msgspec


class RecordIds(msgspec.Struct):
    """The fields of an event."""

    class Meta(msgspec.Struct):
        """The fields of `meta`."""

        session_id: str

    id: str
    meta: Meta


record_ids = msgspec.json.Decoder(RecordIds).decode


def repeat_id(key: bytes, event: bytes) -> str:
    """Return the id by which a record that is sent again is recognized.

    A record that is no event, and becomes a dead letter, has its id as its key.
    """
    try:
        return record_ids(event).id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return key.decode()
