"""Writes table `streams`: under which names offsets and fences are filed.

A row is there before the first fence of its partition.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pyarrow as pa

from schemas.arrow import STREAMS
from semloop.delta.streams import StreamId
from semloop.delta.streams_table import StreamRow, read_streams
from semloop.errors import LakeError
from semloop.storage.errors import translate
from semloop.storage.location import Storage
from sinks.delta.commit_error import FAILURES
from sinks.delta.create_table import create
from sinks.delta.parquet_file import write_file


def register(
    storage: Storage,
    log: StreamId,
    tables: Sequence[str],
    partitions: Sequence[int],
    now: datetime,
    *,
    new_log: bool = False,
) -> None:
    """File the names of a log before its first fence.

    Two copies that start at once may both file them, and so may one whose store lost
    its reply: rows may be there twice.

    Raises:
        LakeError: the tables hold this topic of another cluster, or by another flow.
        StorageUnavailable: the storage refuses; all of it may be done again.
    """
    create(storage, "streams")
    known = read_streams(storage)
    if not new_log:
        _refuse_strangers(known, log, tables)
    ids = (log.flow, log.cluster_id, log.topic_id)
    filed = {
        (row.table, row.partition.number)
        for row in known
        if (row.stream.flow, row.stream.cluster_id, row.stream.topic_id) == ids
    }
    missing = [
        (table, partition)
        for table in tables
        for partition in partitions
        if (table, partition) not in filed
    ]
    if not missing:
        return
    row = {
        "flow": log.flow,
        "cluster_id": log.cluster_id,
        "topic": log.topic,
        "topic_id": log.topic_id,
        "first_seen": now,
    }
    rows = [row | {"table_name": t, "kafka_partition": p} for t, p in missing]
    handle = storage.open("streams")
    try:
        file = write_file(storage, "streams", pa.Table.from_pylist(rows, STREAMS))
        handle.create_write_transaction([file], "append", handle.schema(), [])
    except FAILURES as error:
        raise translate(storage, "commit to table streams", error) from error


def _refuse_strangers(
    known: Sequence[StreamRow], log: StreamId, tables: Sequence[str]
) -> None:
    """The same topic under another name would be appended from its beginning again.

    A topic that was made again on the same cluster is a new log and welcome; so is a
    cluster that was accepted once.
    """
    if any(replace(row.stream, topic_id=log.topic_id) == log for row in known):
        return
    for row in known:
        if row.stream.topic == log.topic and row.table in tables:
            held = row.stream
            msg = (
                f"The lake holds topic {log.topic!r} of cluster {held.cluster_id!r} "
                f"by flow {held.flow!r}; this is cluster {log.cluster_id!r}."
            )
            todo = "If both belong in one lake, start once with --new-log."
            raise LakeError(msg, todo)
