"""Names the artifacts of decoded events, and fills the column `artifacts`."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from schemas.large_record import LargeRecord
from semloop.artifacts import (
    ArtifactReference,
    encode_references,
    session_folder,
    stream_name,
)

# Hexadecimal digits of a hash in the name of an object.
HASH_DIGITS = 12
OWNER = ("namespace", "session_id", "ts", "topic_id", "kafka_partition", "kafka_offset")


def name_artifacts(
    events: pa.RecordBatch,
    rows: Sequence[int],
    large: Mapping[int, LargeRecord],
    cluster_id: str,
) -> tuple[pa.RecordBatch, dict[str, bytes]]:
    """Set the column `artifacts` of events whose values were moved.

    A name is derived from the session, the record's origin and the redacted content,
    so a record that is read again has the same artifacts.

    Args:
        events: the events of a poll.
        rows: the row of the poll that each event came from.
        large: the records with moved values, by row.
        cluster_id: of the records.

    Returns:
        the events; the content of each object by its name.
    """
    named: list[str | None] = [None] * events.num_rows
    contents: dict[str, bytes] = {}
    for index, row in enumerate(rows):
        if (record := large.get(row)) is None:
            continue
        owner = (events[name][index].as_py() for name in OWNER)
        namespace, session_id, ts, topic_id, partition, offset = owner
        folder = session_folder(namespace, session_id, ts)
        prefix = f"{folder}/{stream_name(topic_id, cluster_id)}-{partition}-{offset}"
        references = []
        for number, value in enumerate(record.values):
            name = f"{prefix}-{number}-{value.sha256[:HASH_DIGITS]}"
            contents[name] = value.content
            references.append(
                ArtifactReference(
                    column=value.column,
                    path=value.path,
                    object=name,
                    bytes=len(value.content),
                    sha256=value.sha256,
                    start=value.start,
                    end=value.end,
                )
            )
        named[index] = encode_references(references)
    if not contents:
        return events, contents
    at = events.schema.get_field_index("artifacts")
    column = pa.array(named, pa.string())
    return events.set_column(at, events.schema.field(at), column), contents
