"""Lakes with the memories of given events, by the operators of the flow `memory`."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from lancedb.index import FTS

from operators.episodes.sessions import Sessions
from operators.memories.attach_vectors import attach_vectors
from operators.memories.chunk import chunk
from operators.memories.embed import VectorCache
from schemas import arrow
from schemas.batches import Assigned, Progress
from semloop.lake import generations
from semloop.settings import load
from tests.operators.event_rows import Row, events_table
from tests.semloop.recall.a_memory_lake import HASHING, MemoryLake

MEMORABLE = pa.array(["message", "tool_call", "error"])
WORDS_INDEX = FTS(stem=True, remove_stop_words=True, with_position=False)


def an_event_lake(folder: Path, events: Sequence[Row]) -> MemoryLake:
    """Create a lake with the memories and episodes of events of partition 0.

    Events have consecutive offsets, unless they have their own.
    """
    folder.mkdir(exist_ok=True)
    lake = MemoryLake(load(lake=str(folder), embedder="hashing"))
    table = events_table(*events)
    fed = Sessions(lake.settings.episodes).feed(table)
    memorable = table.filter(pc.is_in(table["type"], MEMORABLE))
    assigned = Assigned(
        memorable, fed.episode_positions, fed.revisions, Progress({}, {})
    )
    texts = chunk(assigned, lake.settings.memory)
    vectored, _ = attach_vectors(texts, HASHING, VectorCache(1_000), 8_192)
    schema = arrow.memories(HASHING.dimension, HASHING.model_id)
    writer = pa.array([1] * vectored.memories.num_rows, pa.int64())
    memories = vectored.memories.append_column("writer", writer)
    connection = generations.connect(lake.storage)
    name = generations.table_name(generations.FIRST_GENERATION)
    stored = connection.create_table(name, memories.select(schema.names))
    stored.create_index("search_text", config=WORDS_INDEX)
    last = pc.max(table["kafka_offset"]).as_py()
    lake.commit_revisions(fed.revisions, last)
    return lake
