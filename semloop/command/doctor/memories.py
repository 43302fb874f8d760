"""Memories check: lag of the flows that read the lake, and model of the memories."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from semloop.command.doctor import Finding, Skipped, fail, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_count
from semloop.flow_registry import ARCHIVE, LAKE_READERS
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.delta.streams import StreamId

CHECK = "memories"
# `memory` commits every second; the rest is time to embed a burst of texts.
LATE_S = 300
START = "Start `{0}` (`semloop up`, `semloop run {0}`), or check its log."
REINDEX = "`semloop maintain reindex`"


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare the flow with `archive`, and the table with the settings."""
    from semloop.delta.streams_table import read_streams
    from semloop.lake import generations

    settings, storage = context.require_settings(), context.require_storage()
    generation = generations.current(storage)
    if generation is None:
        reason = "The flow `memory` has never run for this lake."
        raise Skipped(reason, "Start it with `semloop up` or `semloop run memory`.")
    have_run = {row.stream.flow for row in read_streams(storage)}
    for flow in LAKE_READERS:
        if flow in have_run:
            yield _lag(storage, settings.topic, flow)
    yield _model(context, storage, generation)
    yield from _limits(settings, storage, generation)


def _lag(storage: Storage, topic: str, flow: str) -> Finding:
    from semloop.progress.positions import behind, newest_stream, positions_of

    newest = newest_stream(storage, topic)
    if newest is None:
        return ok(CHECK, f"archive has never read the topic {topic!r} into this lake")
    offsets = behind(storage, flow, *newest)
    left = sum(offsets.values())
    if not left:
        return ok(CHECK, f"{flow} has processed all events in the lake")
    found = f"{flow} is {format_count(left, 'offset')} behind archive"
    # When `memory` had last caught up, in the partitions in which it lags.
    positions = positions_of(storage, flow, *newest)
    caught_up_ms = [positions[p].caught_up_ms or 0 for p, n in offsets.items() if n]
    age_s = (_archived_ms(storage, *newest) - min(caught_up_ms)) / 1000
    if age_s <= LATE_S:
        return ok(CHECK, found)
    if min(caught_up_ms):
        found += f", for {format_duration(age_s)}"
    return warn(CHECK, found, START.format(flow))


def _archived_ms(storage: Storage, stream: "StreamId", partitions: int) -> int:
    """Return the latest time that `archive` stored.

    By the clock of `archive`, as are the times at which `memory` had caught up: the
    clock of this machine may be another one.
    """
    from semloop.delta.snapshot import read_snapshot
    from semloop.progress.positions import positions

    snapshot = read_snapshot(storage, ARCHIVE.main)
    files = snapshot.files.values() if snapshot else ()
    times = [int(f.ingested_at.timestamp() * 1000) for f in files if f.ingested_at]
    found = positions(storage, stream, partitions).values()
    return max([0, *times, *(at.caught_up_ms or 0 for at in found)])


def _model(context: CheckContext, storage: Storage, generation: int) -> Finding:
    from semloop.embedders.factory import embedder_of
    from semloop.embedders.model_store import MANIFEST
    from semloop.lake import generations
    from semloop.storage.errors import storage_errors

    settings = context.require_settings()
    table = generations.open_existing(storage, generation)
    if table is None:
        found = f"the table of generation {generation} is missing"
        return fail(CHECK, found, f"Rebuild the memories: {REINDEX}.")
    with storage_errors(storage, "read table memories", lance=True):
        schema, rows = table.schema, table.count_rows()
    model_id = (schema.metadata or {}).get(b"semloop.model", b"").decode()
    length = schema.field("vector").type.list_size
    if settings.embedding.kind == "minilm" and storage.read(MANIFEST) is None:
        # Do not load the model, which would create its files: the lake never used it.
        configured = "minilm"
    else:
        embedder = embedder_of(settings)
        if (model_id, length) == (embedder.model_id, embedder.dimension):
            found = f"{rows:,} in generation {generation}, of the model {model_id}"
            return ok(CHECK, found)
        configured = f"{embedder.model_id} ({embedder.dimension} dimensions)"
    found = f"the memories are of the model {model_id} ({length} dimensions), "
    found += f"but the settings select {configured}"
    todo = f"Restore SEMLOOP_EMBEDDER, or rebuild the memories: {REINDEX}."
    return fail(CHECK, found, todo)


def _limits(settings: Settings, storage: Storage, generation: int) -> Iterator[Finding]:
    """Warn of namespaces in the limits of memories that no memory has."""
    from schemas.retention import OTHERS
    from semloop.lake import generations
    from semloop.storage.errors import storage_errors

    section = settings.maintenance
    limits = {**section.memories_max, **section.memories_importance_min}
    named = {name for name in limits if name != OTHERS}
    kept = (key.partition("/") for key in section.retention)
    named.update(name for table, _, name in kept if table == CHECK and name)
    table = generations.open_existing(storage, generation) if named else None
    if table is None:
        return
    untyped: Any = table  # its methods are not typed
    with storage_errors(storage, "read table memories", lance=True):
        column = untyped.search().select(["namespace"]).to_arrow()["namespace"]
    unknown = sorted(named.difference(column.unique().to_pylist()))
    if unknown:
        found = f"the limits of memories name {', '.join(map(repr, unknown))}, "
        found += "but no memory is of such a namespace"
        todo = "Correct `memories_max`, `memories_importance_min` or `retention`, "
        yield warn(CHECK, found, todo + "or wait for the first one.")
