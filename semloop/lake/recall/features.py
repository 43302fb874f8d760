"""Operations on tables of candidates, and the features that the ranking needs."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semloop.lake.recall import tokens
from semloop.lake.recall.searches import HIT, READ

if TYPE_CHECKING:
    import pyarrow as pa

    from semloop.embedders.contract import Vectors
    from semloop.lake.recall.visibility import EpisodeEnds

COPIES = "copies"
# Features of a candidate, as JSON with these DuckDB types. `n`: row number. `session`,
# `text_group`: group numbers, equal for equal sessions and equal texts. `position`: the
# next event of the episode has this plus 1. `line_counts`, `context_counts`:
# occurrences of each stem of the query in the line, and in it with the line before.
FEATURES = {
    "n": "INTEGER",
    "session": "INTEGER",
    "text_group": "INTEGER",
    "position": "BIGINT",
    "part": "INTEGER",
    "cosine": "DOUBLE",
    "line_counts": "INTEGER[]",
    "context_counts": "INTEGER[]",
    "line_words": "INTEGER",
    "context_words": "INTEGER",
    "ts_us": "BIGINT",
    "importance": "DOUBLE",
    COPIES: "BIGINT",
    HIT: "BOOLEAN",
}
# Output columns: one JSON value per candidate, which the ranking parses for hits only.
OUTPUT = {
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
    """Concatenate the rows of several searches without duplicates."""
    import pyarrow as pa

    rows = pa.concat_tables(branches)
    first = {id_: n for n, id_ in reversed(list(enumerate(rows["id"].to_pylist())))}
    return rows.take(sorted(first.values())) if len(first) < len(rows) else rows


def filtered(rows: "pa.Table", mask: Sequence[bool]) -> "pa.Table":
    """Return the rows where the mask is True."""
    import pyarrow as pa

    # Without a type, Arrow infers null for an empty list.
    return rows.filter(pa.array(mask, pa.bool_()))


def with_outcomes(rows: "pa.Table", ends: "EpisodeEnds") -> "pa.Table":
    """Add outcome and reward of their episodes to rows."""
    import pyarrow as pa

    rows = _with(rows, "outcome", pa.array(ends.outcomes, pa.string()))
    return _with(rows, "reward", pa.array(ends.rewards, pa.float64(), from_pandas=True))


def as_hits(rows: "pa.Table") -> "pa.Table":
    """Mark all rows as hits."""
    import pyarrow as pa

    return _with(rows, HIT, pa.array([True] * len(rows), pa.bool_()))


def distinct_text_count(rows: "pa.Table") -> int:
    """Count the distinct pairs of namespace and text."""
    return len(set(_texts(rows)))


def limit_copies(rows: "pa.Table", copies_max: int) -> "pa.Table":
    """Limit the rows of each text, and add how many there were as `copies`."""
    import pyarrow as pa

    texts = _texts(rows)
    totals = Counter(texts)
    seen: Counter[Any] = Counter()
    kept = []
    for text in texts:
        seen[text] += 1
        kept.append(seen[text] <= copies_max)
    copies = pa.array([totals[text] for text in texts], pa.int64())
    return filtered(_with(rows, COPIES, copies), kept)


def joined(hits: "pa.Table", neighbours: "pa.Table") -> "pa.Table":
    """Append the neighbours to the hits, each as one copy."""
    import pyarrow as pa

    ones = pa.array([1] * len(neighbours), pa.int64())
    neighbours = _with(neighbours, COPIES, ones).select(hits.column_names)
    return pa.concat_tables([hits, neighbours.cast(hits.schema)])


def apply_min_reward(rows: "pa.Table", min_reward: float | None) -> "pa.Table":
    """Unmark hits whose reward is unknown or less than the minimum."""
    import pyarrow.compute as pc

    if min_reward is None:
        return rows
    enough = pc.fill_null(pc.greater_equal(rows["reward"], min_reward), False)
    return _with(rows, HIT, pc.and_(rows[HIT], enough))


def features(
    rows: "pa.Table", stems: Sequence[str], vector: "Vectors | None"
) -> list[dict[str, Any]]:
    """Compute `FEATURES` of rows, with the columns of `OUTPUT` as one field `output`.

    Args:
        rows: memories with `hit` and `copies`.
        stems: stems of the query.
        vector: vector of the query; None if the query has only filters.
    """
    import pyarrow as pa

    columns = {name: rows[name].to_pylist() for name in READ if name != "vector"}
    columns["id"] = [id_.hex() for id_ in columns["id"]]
    lines = [searched.rpartition("\n") for searched in columns["search_text"]]
    columns["context"] = [before or None for before, _, _ in lines]
    output = _dicts({name: columns[name] for name in OUTPUT})
    sessions = zip(columns["namespace"], columns["session_id"], strict=True)
    columns |= {
        "n": range(len(rows)),
        "session": _group_numbers(sessions),
        "text_group": _group_numbers(_texts(rows)),
        "position": _positions(columns["episode_id"], columns["seq"]),
        "cosine": _cosines(rows, vector),
        "ts_us": rows["ts"].cast(pa.int64()).to_pylist(),
        HIT: rows[HIT].to_pylist(),
        COPIES: rows[COPIES].to_pylist(),
        "output": output,
    }
    columns |= _stem_counts(lines, stems)
    return _dicts({name: columns[name] for name in (*FEATURES, "output")})


def document_frequencies(rows: Sequence[Mapping[str, Any]], name: str) -> list[int]:
    """Count, for each stem, the rows that contain it, by a feature with counts."""
    counts = zip(*(row[name] for row in rows), strict=True)
    return [sum(count > 0 for count in of_stem) for of_stem in counts]


def _stem_counts(
    lines: Sequence[tuple[str, str, str]], stems: Sequence[str]
) -> dict[str, list[Any]]:
    """Count the stems of the query and all words, per line and with the line before."""
    line_counts, context_counts, line_words, context_words = [], [], [], []
    for before, _, line in lines:
        line_stems, before_stems = tokens.stems(line), tokens.stems(before)
        counts = tokens.counts(line_stems, stems)
        line_counts.append(counts)
        line_words.append(len(line_stems))
        both = zip(counts, tokens.counts(before_stems, stems), strict=True)
        context_counts.append([a + b for a, b in both])
        context_words.append(len(line_stems) + len(before_stems))
    return {
        "line_counts": line_counts,
        "context_counts": context_counts,
        "line_words": line_words,
        "context_words": context_words,
    }


def _cosines(rows: "pa.Table", vector: "Vectors | None") -> list[float]:
    if vector is None or not len(rows):
        return [0.0] * len(rows)
    flat = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    cosines: list[float] = (flat.reshape(len(rows), -1) @ vector).tolist()
    return cosines


def _positions(
    episode_ids: Sequence[str], seqs: Sequence[int | None]
) -> list[int | None]:
    """Number events so that two numbers differ by 1 only for adjacent events."""
    episodes = zip(_group_numbers(episode_ids), seqs, strict=True)
    return [None if seq is None else (group << 32) + seq for group, seq in episodes]


def _group_numbers(values: Iterable[Hashable]) -> list[int]:
    """Assign equal numbers to equal values."""
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
        index = rows.column_names.index(name)
        return rows.set_column(index, name, values)
    return rows.append_column(name, values)
