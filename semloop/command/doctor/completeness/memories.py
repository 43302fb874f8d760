"""Memories check: the table of the current generation is whole, and not too old."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from semloop.command.doctor import Finding, fail, ok, warn
from semloop.command.doctor.completeness import copy_again
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_count
from semloop.errors import LakeError, StorageUnavailable
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from lancedb.table import Table

    from semloop.lake.lake import Lake

CHECK = "memories"
REINDEX = "`semloop maintain reindex`"
# Memories that have expired are not missing; that of an episode has no importance.
EPISODES = """
    SELECT count(*) FROM (
        SELECT episode_id, namespace, kafka_ts, NULL::DOUBLE AS importance
        FROM episodes WHERE state = 'closed'
    )
    WHERE NOT {expired} AND episode_id NOT IN (
        SELECT episode_id FROM memories WHERE kind = 'episode'
    )
"""
EVENTS = """
    WITH committed AS (
        SELECT topic_id, kafka_partition, max(kafka_offset) AS last_offset
        FROM tables.episodes GROUP BY ALL
    )
    SELECT count(*) FROM events JOIN committed USING (topic_id, kafka_partition)
    WHERE kafka_offset <= last_offset AND list_contains($kinds, type)
        AND coalesce(importance, 1) >= $importance AND trim(text) <> ''
        AND NOT {expired}
        AND NOT EXISTS (
            FROM memories WHERE kind = 'event' AND topic_id = events.topic_id
            AND kafka_partition = events.kafka_partition
            AND kafka_offset = events.kafka_offset
        )
"""


def check(context: CheckContext) -> Iterator[Finding]:
    """Read every file of the table, and compare its rows with the other tables."""
    settings, storage = context.require_settings(), context.require_storage()
    generation = generations.current(storage)
    if generation is None:
        yield ok(CHECK, "the flow `memory` has never run for this lake")
        return
    todo = f"{copy_again('memories')} Or fill them again: {REINDEX}."
    try:
        table = generations.open_existing(storage, generation)
        if table is None:
            yield fail(CHECK, f"generation {generation} is missing", todo)
            return
        rows = _read(storage, table)
    except (LakeError, StorageUnavailable) as error:
        what = f"generation {generation} is incomplete: {error.what}"
        yield fail(CHECK, what, todo)
        return
    found = f"generation {generation}: all files of {rows:,} memories"
    if lacking := _lacking(settings, storage):
        found += f", but {lacking} without one: memories may be older than episodes"
        todo += (
            " Texts that the embedder refused, or other settings left out, have none."
        )
        yield warn(CHECK, found, todo)
    else:
        yield ok(CHECK, found)


def _read(storage: Storage, table: "Table") -> int:
    """Read one column of all files, and all indexes; return the number of rows."""
    untyped: Any = table  # its methods are not typed
    with storage_errors(storage, "read table memories", lance=True):
        batches = untyped.search().select(["id"]).to_batches()
        rows = sum(int(batch.num_rows) for batch in batches)
        for index in table.list_indices():
            untyped.prewarm_index(index.name)
    return rows


def _lacking(settings: Settings, storage: Storage) -> str:
    """Return how many episodes and events have no memory; empty if all have one."""
    from operators.memories.expiry import memory_expiry
    from semloop.lake.lake import Lake
    from semloop.storage import store_time

    memory, limits, found = settings.memory, settings.maintenance, []
    if any(limits.memories_max.values()):
        return ""  # Nothing tells which memories were the least important ones.
    today = store_time.agreed_date(storage)
    # The condition of `retain` is in Lance's SQL, which DuckDB reads as well.
    expired = memory_expiry(limits, today).sql
    values = {"kinds": list(memory.kinds), "importance": memory.importance_min}
    with storage_errors(storage, "read the lake"), Lake(settings=settings) as lake:
        if "episode" in memory.kinds:
            query = EPISODES.format(expired=expired)
            found.append((_count(lake, query), "closed episode"))
        if not memory.sample:
            query = EVENTS.format(expired=expired)
            found.append((_count(lake, query, values), "event"))
    return " and ".join(format_count(n, name) for n, name in found if n)


def _count(lake: "Lake", query: str, values: Mapping[str, object] | None = None) -> int:
    ((count,),) = lake.sql(query, values).fetchall()
    return int(count)
