"""Writes table `streams`: the ids under which offsets and fences are stored.

A row is written before the first fence of its partition.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa

from schemas.arrow import STREAMS
from semloop.delta.streams import StreamId
from semloop.delta.streams_table import StreamRow, read_streams
from semloop.errors import LakeError
from semloop.storage.location import Storage
from sinks.delta.append_rows import append_rows
from sinks.delta.create_table import create


def register(
    storage: Storage,
    stream: StreamId,
    tables: Sequence[str],
    partitions: Sequence[int],
    now: datetime,
    *,
    new_log: bool = False,
) -> None:
    """Write the rows of a stream before its first fence.

    Rows may be duplicated: two copies that start at the same time may both write them,
    and so does a retry after a lost reply.

    Raises:
        LakeError: the tables contain this topic of another cluster or by another flow.
        StorageUnavailable: the storage refuses; the call may be repeated.
    """
    create(storage, "streams")
    known = read_streams(storage)
    if not new_log:
        _reject_other_streams(known, stream, tables)
    ids = (stream.flow, stream.cluster_id, stream.topic_id)
    registered = {
        (row.table, row.partition.number)
        for row in known
        if (row.stream.flow, row.stream.cluster_id, row.stream.topic_id) == ids
    }
    missing = [
        (table, partition)
        for table in tables
        for partition in partitions
        if (table, partition) not in registered
    ]
    if not missing:
        return
    # Readers take the topic that was seen last for the current one: a flow on a host
    # whose clock is behind must not register a new topic before the old one.
    same = (stream.flow, stream.topic)
    earlier = [r.first_seen for r in known if (r.stream.flow, r.stream.topic) == same]
    first_seen = max([now, *(at + timedelta(microseconds=1) for at in earlier)])
    row = {
        "flow": stream.flow,
        "cluster_id": stream.cluster_id,
        "topic": stream.topic,
        "topic_id": stream.topic_id,
        "first_seen": first_seen,
    }
    rows = [row | {"table_name": t, "kafka_partition": p} for t, p in missing]
    append_rows(storage, "streams", pa.Table.from_pylist(rows, STREAMS))


def _reject_other_streams(
    known: Sequence[StreamRow], stream: StreamId, tables: Sequence[str]
) -> None:
    """Raise if the tables contain the topic of another cluster or flow.

    Its records would be appended again from the beginning. A topic that was recreated
    on the same cluster is accepted, and so is a cluster that was accepted before.
    """
    if any(replace(row.stream, topic_id=stream.topic_id) == stream for row in known):
        return
    for row in known:
        if row.stream.topic == stream.topic and row.table in tables:
            stored = row.stream
            msg = (
                f"The lake contains topic {stream.topic!r} of cluster "
                f"{stored.cluster_id!r} by flow {stored.flow!r}; "
                f"this is cluster {stream.cluster_id!r}."
            )
            todo = "If both belong in one lake, start once with --new-log."
            raise LakeError(msg, todo)
