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
