"""The table `streams`: under which names offsets and fences are filed.

A row is there before the first fence of its partition, so whoever wants to read
positions (other flows, `status`) finds all names here.
"""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from schemas.arrow import STREAMS
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import StreamId
from semloop.errors import LakeError
from semloop.storage.location import Storage
from semloop.storage.retry import reading, unavailable
from sinks.delta.commit_error import FAILURES
from sinks.delta.create_table import create
from sinks.delta.parquet_file import write_file


def register(
    storage: Storage,
    snapshot: Snapshot,
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
    create(storage, "streams", STREAMS, [])
    known = snapshot.all("streams")
    if not new_log:
        _refuse_strangers(known, log, tables)
    filed = {
        (row["table_name"], row["kafka_partition"])
        for row in known
        if row["flow"] == log.flow
        and row["cluster_id"] == log.cluster_id
        and row["topic_id"] == log.topic_id
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
    with reading("streams"):
        handle = storage.open("streams")
    try:
        file = write_file(storage, "streams", pa.Table.from_pylist(rows, STREAMS))
        handle.create_write_transaction([file], "append", handle.schema(), [])
    except FAILURES as error:
        what = "Table streams takes no commit"
        raise unavailable(what, error) from error


def _refuse_strangers(
    known: Sequence[dict[str, object]], log: StreamId, tables: Sequence[str]
) -> None:
    """The same topic under another name would be appended from its beginning again.

    A topic that was made again on the same cluster is a new log and welcome; so is a
    cluster that was accepted once.
    """
    own = {"flow": log.flow, "cluster_id": log.cluster_id, "topic": log.topic}
    if any(own.items() <= row.items() for row in known):
        return
    for row in known:
        if row["topic"] == log.topic and row["table_name"] in tables:
            msg = (
                f"The lake holds topic {log.topic!r} of cluster {row['cluster_id']!r} "
                f"by flow {row['flow']!r}; this is cluster {log.cluster_id!r}."
            )
            todo = "If both belong in one lake, start once with --new-log."
            raise LakeError(msg, todo)
