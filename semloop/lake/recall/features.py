"""Candidates as Arrow tables: put together, and measured for the ranking."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semloop.lake.recall import tokens
from semloop.lake.recall.searches import HIT, READ

if TYPE_CHECKING:
    import pyarrow as pa

    from semloop.embedders.contract import Vectors
    from semloop.lake.recall.visibility import Ends

COPIES = "copies"
# What the ranking gets of each candidate, as JSON of these types of DuckDB. `session`
# and `same` are numbers for its session and its text: equal ones belong together.
# `place` is that of an event in its session: one more is the next of its episode.
# `own` and `around` count the stems of the query in its own line, and in that with the
# line before.
FEATURES = {
    "n": "INTEGER",
    "session": "INTEGER",
    "same": "INTEGER",
    "place": "BIGINT",
    "part": "INTEGER",
    "cosine": "DOUBLE",
    "own": "INTEGER[]",
    "around": "INTEGER[]",
    "own_words": "INTEGER",
    "around_words": "INTEGER",
    "ts_us": "BIGINT",
    "importance": "DOUBLE",
    COPIES: "BIGINT",
    HIT: "BOOLEAN",
}
# What is shown of each hit: parsed only then.
SHOWN = {
    "kind": "VARCHAR",
    "type": "VARCHAR",
    "text": "VARCHAR",
    "context": "VARCHAR",
    "agent": "VARCHAR",
    "session_id": "VARCHAR",
    "user_id": "VARCHAR",
    "namespace": "VARCHAR",
    "task_type": "VARCHAR",
    "tool": "VARCHAR",
    "status": "VARCHAR",
    "error_type": "VARCHAR",
    "outcome": "VARCHAR",
    "reward": "DOUBLE",
    "importance": "DOUBLE",
    "episode_id": "VARCHAR",
    "seq": "BIGINT",
    "part": "INTEGER",
    "event_ids": "VARCHAR[]",
    "topic": "VARCHAR",
    "topic_id": "VARCHAR",
    "kafka_partition": "INTEGER",
    "kafka_offset": "BIGINT",
    "id": "VARCHAR",
    "model": "VARCHAR",
}


def distinct(branches: Sequence["pa.Table"]) -> "pa.Table":
    """The rows of several searches, each once."""
    import pyarrow as pa

    rows = pa.concat_tables(branches)
    first = {id_: n for n, id_ in reversed(list(enumerate(rows["id"].to_pylist())))}
    return rows.take(sorted(first.values())) if len(first) < len(rows) else rows


def only(rows: "pa.Table", kept: Sequence[bool]) -> "pa.Table":
    """The rows that are kept."""
    import pyarrow as pa

    # Arrow takes an empty list for one of nulls.
    return rows.filter(pa.array(kept, pa.bool_()))


def ended(rows: "pa.Table", ends: "Ends") -> "pa.Table":
    """Rows with outcome and reward of their episodes."""
    import pyarrow as pa

    rows = _with(rows, "outcome", pa.array(ends.outcomes, pa.string()))
    return _with(rows, "reward", pa.array(ends.rewards, pa.float64(), from_pandas=True))


def marked(rows: "pa.Table") -> "pa.Table":
    """Rows that all pass the filters."""
    import pyarrow as pa

    return _with(rows, HIT, pa.array([True] * len(rows), pa.bool_()))


def texts(rows: "pa.Table") -> int:
    """How many different texts of a namespace there are."""
    return len(set(_texts(rows)))


def few_of_each(rows: "pa.Table", copies_max: int) -> "pa.Table":
    """The first few rows of each text, with the number of all of them."""
    import pyarrow as pa

    found = _texts(rows)
    counted = Counter(found)
    met: Counter[Any] = Counter()
    kept = []
    for text in found:
        met[text] += 1
        kept.append(met[text] <= copies_max)
    copies = pa.array([counted[text] for text in found], pa.int64())
    return only(_with(rows, COPIES, copies), kept)


def joined(hits: "pa.Table", neighbours: "pa.Table") -> "pa.Table":
    """Hits and neighbours of them, which count once."""
    import pyarrow as pa

    ones = pa.array([1] * len(neighbours), pa.int64())
    neighbours = _with(neighbours, COPIES, ones).select(hits.column_names)
    return pa.concat_tables([hits, neighbours.cast(hits.schema)])


def worth(rows: "pa.Table", least: float | None) -> "pa.Table":
    """Rows of which those of a smaller reward are no hits."""
    import pyarrow.compute as pc

    if least is None:
        return rows
    enough = pc.fill_null(pc.greater_equal(rows["reward"], least), False)
    return _with(rows, HIT, pc.and_(rows[HIT], enough))


def measured(
    rows: "pa.Table", stems: Sequence[str], vector: "Vectors | None"
) -> list[dict[str, Any]]:
    """Rows with the fields of `FEATURES`, and those of `SHOWN` in one.

    Args:
        rows: memories with `hit` and `copies`.
        stems: those of the query.
        vector: that of the query; None if nothing is asked for but filters.
    """
    import pyarrow as pa

    columns = {name: rows[name].to_pylist() for name in READ if name != "vector"}
    columns["id"] = [id_.hex() for id_ in columns["id"]]
    lines = [searched.rpartition("\n") for searched in columns["search_text"]]
    columns["context"] = [before or None for before, _, _ in lines]
    shown = _dicts({name: columns[name] for name in SHOWN})
    sessions = zip(columns["namespace"], columns["session_id"], strict=True)
    columns |= {
        "n": range(len(rows)),
        "session": _numbered(sessions),
        "same": _numbered(_texts(rows)),
        "place": _placed(columns["episode_id"], columns["seq"]),
        "cosine": _cosines(rows, vector),
        "ts_us": rows["ts"].cast(pa.int64()).to_pylist(),
        HIT: rows[HIT].to_pylist(),
        COPIES: rows[COPIES].to_pylist(),
        "shown": shown,
    }
    columns |= _counted(lines, stems)
    return _dicts({name: columns[name] for name in (*FEATURES, "shown")})


def found_in(rows: Sequence[Mapping[str, Any]], name: str) -> list[int]:
    """In how many rows each stem of the query is, by the counts under a name."""
    counts = zip(*(row[name] for row in rows), strict=True)
    return [sum(count > 0 for count in of_stem) for of_stem in counts]


def _counted(
    lines: Sequence[tuple[str, str, str]], stems: Sequence[str]
) -> dict[str, list[Any]]:
    """How often each stem is in each line, and how many words there are."""
    own, around, own_words, around_words = [], [], [], []
    for before, _, line in lines:
        mine, theirs = tokens.stems(line), tokens.stems(before)
        counts = tokens.counts(mine, stems)
        own.append(counts)
        own_words.append(len(mine))
        both = zip(counts, tokens.counts(theirs, stems), strict=True)
        around.append([a + b for a, b in both])
        around_words.append(len(mine) + len(theirs))
    return {
        "own": own,
        "around": around,
        "own_words": own_words,
        "around_words": around_words,
    }


def _cosines(rows: "pa.Table", vector: "Vectors | None") -> list[float]:
    if vector is None or not len(rows):
        return [0.0] * len(rows)
    flat = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    cosines: list[float] = (flat.reshape(len(rows), -1) @ vector).tolist()
    return cosines


def _placed(episode_ids: Sequence[str], seqs: Sequence[int | None]) -> list[int | None]:
    """Numbers of which two differ by 1 only where events follow one another."""
    episodes = zip(_numbered(episode_ids), seqs, strict=True)
    return [None if seq is None else (one << 32) + seq for one, seq in episodes]


def _numbered(values: Iterable[Hashable]) -> list[int]:
    """Numbers that are equal where the values are."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]


def _dicts(columns: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _texts(rows: "pa.Table") -> list[tuple[str, str]]:
    columns = (rows["namespace"].to_pylist(), rows["text"].to_pylist())
    return list(zip(*columns, strict=True))


def _with(rows: "pa.Table", name: str, values: "pa.Array") -> "pa.Table":
    if name in rows.column_names:
        at = rows.column_names.index(name)
        return rows.set_column(at, name, values)
    return rows.append_column(name, values)
