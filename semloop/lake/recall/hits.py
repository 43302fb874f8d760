"""The result of a recall: the rows of the best candidates, read last."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from semloop.lake.recall.conditions import Conditions
from semloop.lake.recall.features import Features, Ints
from semloop.lake.recall.ranking import Ranked
from semloop.lake.recall.searches import EventPosition, MemoryTable
from semloop.lake.recall.wall import Wall

TEXT = pa.string()
# Columns of the result, in order.
HITS = pa.schema(
    [
        ("rank", pa.int64()),
        ("score", pa.float64()),
        ("kind", TEXT),
        ("type", TEXT),
        ("text", TEXT),
        ("context", TEXT),
        ("after", TEXT),
        ("ts", pa.timestamp("us", "UTC")),
        ("agent", TEXT),
        ("session_id", TEXT),
        ("user_id", TEXT),
        ("namespace", TEXT),
        ("task_type", TEXT),
        ("tool", TEXT),
        ("status", TEXT),
        ("error_type", TEXT),
        ("outcome", TEXT),
        ("reward", pa.float64()),
        ("importance", pa.float64()),
        ("count", pa.int64()),
        ("similarity", pa.float64()),
        ("keyword", pa.float64()),
        ("keyword_context", pa.float64()),
        ("neighbours", pa.float64()),
        ("session", pa.float64()),
        ("decay", pa.float64()),
        ("episode_id", TEXT),
        ("seq", pa.int64()),
        ("part", pa.int32()),
        ("event_ids", pa.list_(TEXT)),
        ("topic", TEXT),
        ("topic_id", TEXT),
        ("kafka_partition", pa.int32()),
        ("kafka_offset", pa.int64()),
        ("understood", TEXT),
        ("id", pa.binary()),
        ("model", TEXT),
    ]
)
# Columns that are read from the memories unchanged.
STORED = (
    "kind", "type", "text", "ts", "agent", "session_id", "user_id", "namespace",
    "task_type", "tool", "status", "error_type", "importance", "episode_id", "seq",
    "part", "event_ids", "topic", "topic_id", "kafka_partition", "kafka_offset", "id",
    "model",
)  # fmt: skip
# Key of the filters found in the query in the schema metadata of the result, which
# exists even if the result has no rows.
UNDERSTOOD = b"semloop.understood"


def no_hits(understood: str | None) -> pa.Table:
    """Return a result without rows."""
    return _with_metadata(HITS.empty_table(), understood)


def read_hits(
    table: MemoryTable,
    wall: Wall,
    conditions: Conditions,
    ranked: Ranked,
    candidates: Features,
    copies: Ints,
    understood: str | None,
    threads: ThreadPoolExecutor,
) -> pa.Table:
    """Read the rows of the best candidates and the texts after them.

    Args:
        table: the memories.
        wall: what the caller may see.
        conditions: the conditions of the request.
        ranked: the best candidates.
        candidates: all candidates.
        copies: memories with the text of each candidate.
        understood: the filters found in the query.
        threads: for reads that run at the same time.

    Returns:
        a table of `HITS`.
    """
    best = candidates.take(ranked.rows)
    after = threads.submit(_texts_after, table, wall, conditions.wall, best)
    rows = table.rows(best.row_ids, [*STORED, "search_text"])
    count = len(best)
    episodes = wall.episodes.index_of(best.header["episode"])
    outcomes, rewards = wall.episodes.ends_of(episodes)
    columns: dict[str, Any] = {name: rows[name] for name in STORED}
    columns |= {
        "rank": range(1, count + 1),
        "score": ranked.score,
        "context": _contexts(rows["search_text"], wall.shows_context(best)),
        "after": after.result(),
        "outcome": outcomes,
        "reward": rewards,
        "count": copies[ranked.rows],
        "similarity": ranked.similarity,
        "keyword": ranked.keyword,
        "keyword_context": ranked.keyword_context,
        "neighbours": ranked.neighbours,
        "session": ranked.session,
        "decay": ranked.decay,
        "understood": [understood] * count,
    }
    arrays = [
        columns[field.name].cast(field.type)
        if isinstance(columns[field.name], pa.ChunkedArray)
        else pa.array(columns[field.name], field.type)
        for field in HITS
    ]
    return _with_metadata(pa.table(arrays, schema=HITS), understood)


def _contexts(searched: pa.ChunkedArray, shown: Any) -> list[str | None]:
    before = [text.rpartition("\n")[0] for text in searched.to_pylist()]
    return [
        text or None if show else None
        for text, show in zip(before, shown.tolist(), strict=True)
    ]


def _texts_after(
    table: MemoryTable, wall: Wall, where: str, best: Features
) -> list[str | None]:
    """Return the text of the next event in the episode of each event."""
    positions = _positions(best)
    wanted = {position for position in positions if position is not None}
    found = table.at(wanted, where, {"text": "text"}) if wanted else None
    if found is None:
        return [None] * len(best)
    shown = wall.allowed(found.features) & (found.features.header["part"] == 0)
    at = zip(_own_positions(found.features), shown.tolist(), strict=True)
    texts = {
        position: text
        for (position, show), text in zip(
            at, found.columns["text"].to_pylist(), strict=True
        )
        if show
    }
    return [texts.get(position) if position else None for position in positions]


def _positions(best: Features) -> list[EventPosition | None]:
    """Return the position after each event; None for the memory of an episode."""
    own = _own_positions(best)
    return [None if seq < 0 else (episode, seq + 1) for episode, seq in own]


def _own_positions(features: Features) -> list[EventPosition]:
    header = features.header
    pairs = zip(header["episode"].tolist(), header["seq"].tolist(), strict=True)
    # numpy drops trailing zero bytes.
    return [(id_.ljust(16, b"\0").hex(), seq) for id_, seq in pairs]


def _with_metadata(rows: pa.Table, understood: str | None) -> pa.Table:
    metadata = {UNDERSTOOD: understood} if understood else None
    return rows.replace_schema_metadata(metadata)
