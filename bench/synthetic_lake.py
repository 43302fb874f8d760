"""A lake with many synthetic memories, written without events, for timing readers.

Word frequencies in texts follow those of a natural language. Vectors are those of a few
thousand texts by the embedder of the settings plus noise, since embedding all would
take minutes.
"""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from operators.memories.embed import VectorCache, embed
from schemas.arrow import EPISODE_REVISIONS, EPISODES
from schemas.arrow import memories as memories_schema
from semloop import layout
from semloop.delta.streams import Partition, StreamId, Streams
from semloop.embedders.factory import embedder_of
from semloop.lake.generations import EPISODES as TABLE
from semloop.lake.generations import FIRST_GENERATION, FLOW
from semloop.lake.recall.features import pack, positions, words
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.delta.commit_columns import with_commit_columns
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.streams_table import register
from sinks.delta.table_log import TableLog
from sinks.delta.takeover import Takeover
from sinks.vectors.table import VectorTable

EPISODE_EVENTS = 25
NAMESPACES = 20
WORDS, TEXT_WORDS = 20_000, 14
EMBEDDED = 2_000
NOISE = 0.02
BATCH = 20_000
# Words that occur in queries; about one word in a hundred is one of these.
QUERY_WORDS = (
    "payment", "refused", "order", "flight", "customer", "test", "money", "change",
)  # fmt: skip
LOG = StreamId(FLOW, "cluster", "agent-events", "topic")
FIRST_TS = datetime(2026, 1, 1, tzinfo=UTC)


def write_synthetic_lake(
    settings: Settings, rows: int, parts: int = 1, words_each: int = TEXT_WORDS
) -> None:
    """Write memories of events, and closed episodes of 25 events each.

    Args:
        settings: the lake and its embedder.
        rows: number of memories.
        parts: memories of an event.
        words_each: words of a memory.
    """
    storage = Storage.of(settings)
    layout.bind(storage)
    embedder = embedder_of(settings)
    random = np.random.default_rng(0)
    seeds = [_text(random, TEXT_WORDS) for _ in range(EMBEDDED)]
    vectors = embed(seeds, embedder, VectorCache(EMBEDDED), 8_192).vectors
    matrix = np.stack([vector for vector in vectors if vector is not None])
    table = VectorTable(
        storage, FIRST_GENERATION, embedder.dimension, embedder.model_id
    )
    table.open()
    schema = memories_schema(embedder.dimension, embedder.model_id)
    for start in range(0, rows, BATCH):
        numbers = np.arange(start, min(rows, start + BATCH))
        near = matrix[random.integers(0, EMBEDDED, len(numbers))]
        near = near + random.normal(0, NOISE, near.shape).astype(np.float32)
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        records = [
            _memory(
                *divmod(int(n), parts), _text(random, words_each), embedder.model_id
            )
            for n in numbers
        ]
        found = pa.Table.from_pylist(
            records, schema.remove(schema.get_field_index("vector"))
        )
        flat = pa.array(near.astype(np.float32).ravel(), pa.float32())
        column = pa.FixedSizeListArray.from_arrays(flat, embedder.dimension)
        found = found.append_column("vector", column)
        found = found.drop(["features", "position", "words"])
        found = found.append_column("words", words(found))
        found = found.append_column("features", pack(found))
        position = positions(found["episode_id"], found["seq"])
        found = found.append_column("position", position)
        table.merge(found.select(schema.names).cast(schema))
    _commit_episodes(storage, -(-rows // parts))


def _commit_episodes(storage: Storage, events: int) -> None:
    create(storage, TABLE)
    register(storage, LOG, (TABLE,), (0,), FIRST_TS)
    partition = Partition(LOG.topic_id, 0)
    main = FencedTable(TableLog(storage, TABLE), Streams.of(LOG), (partition,))
    Takeover(main).run()
    records = [
        {
            "episode_id": _episode_id(number), "revision": 1, "state": "closed",
            "closed_by": "completion", "session_id": f"s{number}",
            "namespace": f"n{number % NAMESPACES}", "topic": LOG.topic,
            "topic_id": LOG.topic_id, "kafka_partition": 0, "reward": number % 11 / 10,
            "outcome": "success" if number % 3 else "failure",
            "first_offset": number * EPISODE_EVENTS,
            "kafka_offset": (number + 1) * EPISODE_EVENTS - 1,
        }
        for number in range(-(-events // EPISODE_EVENTS))
    ]  # fmt: skip
    revisions = pa.Table.from_pylist(records, EPISODE_REVISIONS)
    main.commit(
        with_commit_columns(revisions, EPISODES, FIRST_TS), {partition: events - 1}
    )


def _memory(number: int, part: int, text: str, model: str) -> dict[str, object]:
    episode = number // EPISODE_EVENTS
    agent = f"agent-{episode % 7}"
    ts = FIRST_TS + timedelta(seconds=number)
    name = f"{LOG.topic_id}/0/{number}/{part}"
    return {
        "id": hashlib.blake2b(name.encode(), digest_size=16).digest(),
        "kind": "event", "type": "message", "part": part, "text": text,
        "search_text": f"{agent}: {text}", "model": model, "ts": ts, "started_at": ts,
        "agent": agent, "session_id": f"s{episode}",
        "namespace": f"n{episode % NAMESPACES}", "episode_id": _episode_id(episode),
        "seq": number % EPISODE_EVENTS, "event_ids": [f"e{number}"],
        "topic": LOG.topic, "topic_id": LOG.topic_id, "kafka_partition": 0,
        "kafka_offset": number, "kafka_ts": ts, "writer": 1,
    }  # fmt: skip


def _episode_id(number: int) -> str:
    return hashlib.blake2b(f"{number}".encode(), digest_size=16).hexdigest()


def _text(random: np.random.Generator, count: int) -> str:
    # The n-th word of a language is about 1/n as frequent as the first.
    ranks = np.minimum(random.zipf(1.2, count), WORDS)
    return " ".join(_word(int(rank)) for rank in ranks)


def _word(rank: int) -> str:
    return QUERY_WORDS[rank % len(QUERY_WORDS)] if rank % 97 == 0 else f"w{rank}"
