"""Artifacts: values too large for a row of `events`, stored as objects of the lake.

The row has a placeholder with both ends of the value. The column `artifacts`,
which only the flow `archive` writes, says which objects a row has: nothing in a payload
can name an object.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal

import msgspec

FOLDER = "artifacts"
# Characters of a value that its placeholder shows from each end.
END_CHARS = 1_000


# Hexadecimal digits of the hash of a cluster's id.
CLUSTER_DIGITS = 8
# librdkafka writes topic ids in standard Base64, Kafka in that for URLs.
_URL_SAFE = str.maketrans("+/", "-_")

# The column that a value was in.
Column = Literal["payload", "extra", "task"]


class ArtifactReference(msgspec.Struct, frozen=True):
    """One moved value of an event; the column `artifacts` is a JSON array of these.

    Attributes:
        column: the column that the value was in; `task` is that of `meta`.
        path: JSONPath of the value, from the root of the record.
        object: name of the object in the lake; it has the JSON of the value.
        bytes: size of the object.
        sha256: hash of the object, as 64 hexadecimal digits.
        start: first byte of the placeholder in `payload`; None elsewhere.
        end: the byte after it.
    """

    column: Column
    path: str
    object: str
    bytes: int
    sha256: str
    start: int | None = None
    end: int | None = None


_decode = msgspec.json.Decoder(list[ArtifactReference]).decode


def encode_references(references: Sequence[ArtifactReference]) -> str:
    """Return the value of the column `artifacts`."""
    return msgspec.json.encode(references).decode()


def decode_references(column: str | None) -> list[ArtifactReference]:
    """Return the artifacts of a row, in the order of their numbers."""
    return _decode(column) if column else []


def session_folder(namespace: str, session_id: str, ts: datetime) -> str:
    """Return the folder of a session's artifacts of one day of event time (UTC)."""
    owner = sha256(msgspec.json.encode([namespace, session_id])).hexdigest()[:16]
    return f"{FOLDER}/{ts:%Y/%m/%d}/{owner}"


def stream_name(topic_id: str, cluster_id: str) -> str:
    """Return what the names of a stream's artifacts begin with.

    A topic that is read again as one of another cluster has the same offsets. With
    names of its own, a vacuum that was frozen cannot delete what its rows name.

    Args:
        topic_id: of the stream.
        cluster_id: of the stream; empty for artifacts of earlier versions.
    """
    name = topic_id.translate(_URL_SAFE)
    if not cluster_id:
        return name
    return f"{name}.{sha256(cluster_id.encode()).hexdigest()[:CLUSTER_DIGITS]}"


def placeholder(text: str, number: int, size: int, digest: str) -> str:
    """Return what replaces a value in its row: both ends of it, its size and its hash.

    Args:
        text: the value, if it is a string, or else its JSON.
        number: the number of the artifact in its event, from 0.
        size: bytes of the object.
        digest: SHA-256 of the object.
    """
    note = f"[... {size:,} bytes in all, artifact {number}, sha256:{digest} ...]"
    return f"{text[:END_CHARS]}\n{note}\n{text[-END_CHARS:]}"


def restore(payload: str, values: Sequence[tuple[ArtifactReference, bytes]]) -> bytes:
    """Return a payload with its moved values in their places, byte for byte.

    Args:
        payload: the column of the row.
        values: the artifacts of the payload with the contents of their objects.
    """
    raw = payload.encode()
    pieces, done = [], 0
    for reference, content in sorted(values, key=lambda value: value[0].start or 0):
        pieces += [raw[done : reference.start], content]
        done = reference.end or 0
    return b"".join([*pieces, raw[done:]])
