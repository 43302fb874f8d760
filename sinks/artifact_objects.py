"""Writes the artifacts of events; they exist before a commit names them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from semloop.artifacts import decode_references
from semloop.errors import StorageUnavailable
from semloop.flow_registry import ARCHIVE
from semloop.retry import retry
from sinks.flow_tables import FlowContext

# An object store takes milliseconds for a request, most of which is waiting.
CONCURRENT_PUTS = 4


def put_artifacts(
    context: FlowContext, events: pa.Table, contents: Mapping[str, bytes]
) -> None:
    """Write the artifacts that events name; those that exist stay as they are.

    The name of an object contains the hash of its content, so an object that exists,
    from an earlier attempt or another writer, has the same content.

    Args:
        context: the lake, its settings and the metrics of the flow.
        events: the rows of the next commit.
        contents: content of each object by name; may have others, too.

    Raises:
        LakeError: the storage refuses.
        StorageUnavailable: it did not recover within `storage_retry_s`.
    """
    if not contents:
        return
    named = [
        reference.object
        for column in events["artifacts"].drop_null().to_pylist()
        for reference in decode_references(column)
    ]

    def put(name: str) -> None:
        retry(
            lambda: context.storage.create(name, contents[name]),
            on=StorageUnavailable,
            seconds=context.settings.commits.storage_retry_s,
        )

    with ThreadPoolExecutor(CONCURRENT_PUTS) as pool:
        for _ in pool.map(put, named):
            pass
    context.metrics.add("semloop_artifacts_total", len(named), flow=ARCHIVE.name)
