"""The texts of memories that `chunk` makes of events."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from operators.episodes.sessions import Sessions
from operators.memories.chunk import chunk
from schemas.arrow import MEMORY_TEXTS
from schemas.batches import Assigned, Chunked
from semloop.lake.recall.features import pack, positions, words
from semloop.settings import Settings
from tests.operators.event_rows import Row, events_table


def assigned(events: pa.Table, sessions: Sessions) -> Assigned:
    fed = sessions.feed(events)
    types = pa.array(["message", "tool_call", "error"])
    memorable = events.filter(pc.is_in(events["type"], types))
    return Assigned(memorable, fed.episode_positions, fed.revisions)


def chunked(*events: Row, **settings: Any) -> Chunked:
    given = Settings().replace(**settings)
    sessions = Sessions(given.episodes, given.rewards)
    return chunk(assigned(events_table(*events), sessions), given.memory)


def memories(*events: Row, **settings: Any) -> list[Row]:
    found = chunked(*events, **settings).memories
    assert found.schema == MEMORY_TEXTS
    found.validate(full=True)
    assert found["features"].combine_chunks().equals(pack(found))
    position = positions(found["episode_id"], found["seq"])
    assert found["position"].combine_chunks().equals(position)
    assert found["words"].combine_chunks().equals(words(found))
    rows: list[Row] = found.drop(["features", "position", "words"]).to_pylist()
    return rows
