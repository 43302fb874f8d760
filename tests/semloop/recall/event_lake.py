"""Lakes with the memories of given events, by the operators of the flow `memory`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.sessions import Sessions
from operators.memories.attach_vectors import attach_vectors
from operators.memories.chunk import chunk
from operators.memories.embed import VectorCache
from schemas import arrow
from schemas.batches import Assigned, Progress
from semloop.embedders.factory import embedder_of
from semloop.lake import generations
from semloop.settings import load
from sinks.vectors.table import WORDS, words_index
from tests.operators.event_rows import Row, events_table
from tests.semloop.recall.a_memory_lake import MemoryLake

MEMORABLE = pa.array(["message", "tool_call", "error"])


def an_event_lake(
    folder: Path,
    events: Sequence[Row],
    kind: Literal["hashing", "minilm"] = "hashing",
) -> MemoryLake:
    """Create a lake with the memories and episodes of events of partition 0.

    Events have consecutive offsets, unless they have their own.
    """
    folder.mkdir(exist_ok=True)
    lake = MemoryLake(load(lake=str(folder), embedder=kind))
    embedder = embedder_of(lake.settings)
    table = events_table(*events)
    fed = Sessions(lake.settings.episodes).feed(table)
    memorable = table.filter(pc.is_in(table["type"], MEMORABLE))
    assigned = Assigned(
        memorable, fed.episode_positions, fed.revisions, Progress({}, {})
    )
    texts = chunk(assigned, lake.settings.memory)
    vectored, _ = attach_vectors(texts, embedder, VectorCache(1_000), 8_192)
    schema = arrow.memories(embedder.dimension, embedder.model_id)
    writer = pa.array([1] * vectored.memories.num_rows, pa.int64())
    memories = vectored.memories.append_column("writer", writer)
    connection = generations.connect(lake.storage)
    name = generations.table_name(generations.FIRST_GENERATION)
    stored = connection.create_table(name, memories.select(schema.names))
    stored.create_index(WORDS, config=words_index())
    last = pc.max(table["kafka_offset"]).as_py()
    lake.commit_revisions(fed.revisions, last)
    return lake
