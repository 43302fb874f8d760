"""The result of a recall: the rows of the best candidates, read last."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from semloop.lake.recall.conditions import Conditions
from semloop.lake.recall.features import EventPosition, Features, Ints
from semloop.lake.recall.filters import Filter
from semloop.lake.recall.ranking import Candidates, Ranked
from semloop.lake.recall.search_engine import SearchEngine
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
    table: SearchEngine,
    wall: Wall,
    conditions: Conditions,
    candidates: Candidates,
    ranked: Ranked,
    understood: str | None,
) -> pa.Table:
    """Read the rows of the best candidates and the texts after them.

    Args:
        table: the memories.
        wall: what the caller may see.
        conditions: the conditions of the request.
        candidates: all candidates.
        ranked: the best of them.
        understood: the filters found in the query.

    Returns:
        a table of `HITS`.
    """
    best = candidates.features.take(ranked.rows)
    count = len(best)
    following = Following.of(candidates, best)
    # One read of all rows: most texts after the hits are those of candidates.
    ids = np.concatenate([best.row_ids, following.row_ids])
    read = table.rows(ids, [*STORED, "search_text"])
    rows, more = read.slice(0, count), read.slice(count)["text"].to_pylist()
    after = dict(zip(following.known, more, strict=True))
    if following.unknown:
        after |= _texts_at(table, wall, conditions.wall, following.unknown)
    episodes = wall.episodes.index_of(best.header["episode"])
    outcomes, rewards = wall.episodes.ends_of(episodes)
    columns: dict[str, Any] = {name: rows[name] for name in STORED}
    columns |= {
        "rank": range(1, count + 1),
        "score": ranked.score,
        "context": _contexts(rows["search_text"], wall.shows_context(best)),
        "after": [
            after.get((e, n + 1)) if n >= 0 else None for e, n in best.positions()
        ],
        "outcome": outcomes,
        "reward": rewards,
        "count": candidates.copies[ranked.rows],
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


@dataclass(frozen=True, slots=True, eq=False)
class Following:
    """The positions after hits: of candidates, with their row ids, and of others."""

    known: list[EventPosition]
    row_ids: Ints
    unknown: set[EventPosition]

    @classmethod
    def of(cls, candidates: Candidates, best: Features) -> Self:
        """Find the positions after the best candidates."""
        wanted = {(e, n + 1) for e, n in best.positions() if n >= 0}
        wanted -= candidates.absent
        features = candidates.features
        first = features.take(features.header["part"] == 0)
        at = dict(zip(first.positions(), first.row_ids.tolist(), strict=True))
        known = sorted(wanted & at.keys())
        row_ids = np.array([at[position] for position in known], np.int64)
        return cls(known, row_ids, wanted - at.keys())


def _texts_at(
    table: SearchEngine, wall: Wall, where: Filter, positions: set[EventPosition]
) -> dict[EventPosition, str]:
    """Return the texts of events at these positions that may be shown."""
    found = table.texts_at(positions, where)
    shown = wall.allowed(found.features)
    texts = zip(
        found.features.positions(),
        found.texts,
        shown.tolist(),
        strict=True,
    )
    return {position: text for position, text, show in texts if show}


def _contexts(searched: pa.ChunkedArray, shown: Any) -> list[str | None]:
    before = [text.rpartition("\n")[0] for text in searched.to_pylist()]
    return [
        text or None if show else None
        for text, show in zip(before, shown.tolist(), strict=True)
    ]


def _with_metadata(rows: pa.Table, understood: str | None) -> pa.Table:
    metadata = {UNDERSTOOD: understood} if understood else None
    return rows.replace_schema_metadata(metadata)
