"""The memories: does the flow `memory` follow, and are they of the settings' model?"""

import time
from collections.abc import Iterator

from semloop.command.doctor import Finding, Skipped, fail, ok, warn
from semloop.command.doctor.context import Known
from semloop.command.terminal.durations import spoken
from semloop.command.terminal.figures import many
from semloop.flow_registry import LAKE_READERS
from semloop.storage.location import Storage

CHECK = "memories"
# `memory` commits every second; so long it may need for texts that came all at once.
LATE_S = 300
START = "Start `{0}` (`semloop up`, `semloop run {0}`), or look at its log."


def check(known: Known) -> Iterator[Finding]:
    """Compare it with `archive`, and the table with the settings."""
    from semloop.lake import generations

    settings, storage = known.need_settings(), known.need_storage()
    generation = generations.current(storage)
    if generation is None:
        reason = "The flow memory never ran for this lake."
        raise Skipped(reason, "`semloop up` and `semloop run memory` start it.")
    for flow in LAKE_READERS:
        yield _lag(storage, settings.topic, flow)
    yield _model(known, storage, generation)


def _lag(storage: Storage, topic: str, flow: str) -> Finding:
    from semloop.progress.positions import behind, newest_stream, positions_of

    named = newest_stream(storage, topic)
    if named is None:
        return ok(CHECK, f"archive never read a topic {topic!r} into this lake")
    offsets = behind(storage, flow, *named)
    left = sum(offsets.values())
    if not left:
        return ok(CHECK, "all that is in the lake is remembered")
    found = f"{flow} is {many(left, 'offset')} behind archive"
    # Of partitions in which something is left: when memory last had all there was.
    found_at = positions_of(storage, flow, *named)
    level = [found_at[p].caught_up_ms or 0 for p, count in offsets.items() if count]
    age_s = time.time() - min(level) / 1000
    if age_s <= LATE_S:
        return ok(CHECK, found)
    if min(level):
        found += f", for {spoken(age_s)}"
    return warn(CHECK, found, START.format(flow))


def _model(known: Known, storage: Storage, generation: int) -> Finding:
    from semloop.embedders.factory import embedder_of
    from semloop.embedders.model_store import MANIFEST
    from semloop.lake import generations
    from semloop.storage.errors import storage_errors

    settings = known.need_settings()
    todo = "Make them anew: `semloop maintain reindex`."
    table = generations.open_existing(storage, generation)
    if table is None:
        return fail(CHECK, f"the table of generation {generation} is gone", todo)
    with storage_errors(storage, "read table memories", lance=True):
        schema, rows = table.schema, table.count_rows()
    held = (schema.metadata or {}).get(b"semloop.model", b"").decode()
    length = schema.field("vector").type.list_size
    found = f"they are of the model {held} ({length} numbers), the settings name "
    if settings.embedding.kind == "minilm" and storage.read(MANIFEST) is None:
        # To load it would make it, here and now; the lake never used it.
        found += "minilm"
    else:
        embedder = embedder_of(settings)
        if (held, length) == (embedder.model_id, embedder.dimension):
            told = f"{rows:,} in generation {generation}, of the model {held}"
            return ok(CHECK, told)
        found += f"{embedder.model_id} ({embedder.dimension})"
    todo = "Set SEMLOOP_EMBEDDER as it was, or make them anew: "
    return fail(CHECK, found, todo + "`semloop maintain reindex`.")
