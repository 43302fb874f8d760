"""The ranking of recall, once for Python, SQL and the command.

The base score of a memory is BM25 of its line, plus BM25 of its line with the line
before (each divided by the largest), plus three times the cosine. Its neighbours in the
episode and the best of its session raise it. The weights are on a plateau, measured on
questions about long conversations.
"""

from collections.abc import Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from semloop.lake.recall.features import (
    EventPosition,
    Features,
    Floats,
    Ints,
    Mask,
)
from semloop.lake.recall.keywords import Statistics, bm25

MEANING = 3.0
NEIGHBOURS = 0.2
SESSION = 0.5
US = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The memories to rank; each array has one item a memory.

    Attributes:
        features: their features.
        cosines: similarity to the query.
        line_counts: occurrences of the query's stems in the line, (memories, stems).
        context_counts: the same in the line before; zeros if it must not count.
        context_lengths: stems of the line before.
        copies: number of memories with the same text that were found.
        hits: True if a memory may be a hit; others are neighbours of one.
        absent: positions of neighbours that do not exist, or must not be shown.
    """

    features: Features
    cosines: Floats
    line_counts: Ints
    context_counts: Ints
    context_lengths: Ints
    copies: Ints
    hits: Mask
    absent: Set[EventPosition] = frozenset()


class Ranked(NamedTuple):
    """The best candidates, best first: their indexes, and the parts of their scores."""

    rows: Ints
    score: Floats
    similarity: Floats
    keyword: Floats
    keyword_context: Floats
    neighbours: Floats
    session: Floats
    decay: Floats


def rank(found: Candidates, k: int, half_life_s: float | None, now_us: int) -> Ranked:
    """Return the best k candidates; of equal texts in a namespace only the best one.

    Args:
        found: the candidates.
        k: how many to return.
        half_life_s: time in which a score halves; None: never.
        now_us: the current time in microseconds.
    """
    header = found.features.header
    keyword, context = _keywords(found)
    base = MEANING * found.cosines + keyword + context
    neighbours = NEIGHBOURS * _neighbours(found.features, base)
    session = SESSION * _largest_of_group(header["session"], base)
    decay = _decay(found.features, half_life_s, now_us)
    score = (base + neighbours + session) * decay
    rows = np.flatnonzero(found.hits)
    own = header[rows]
    order = np.lexsort((own["id"], -own["ts"], -score[rows]))
    rows = rows[order]
    _, first = np.unique(header["text"][rows], return_index=True)
    rows = rows[np.sort(first)][:k]
    parts = (score, found.cosines, keyword, context, neighbours, session, decay)
    return Ranked(rows, *(part[rows] for part in parts))


def _keywords(found: Candidates) -> tuple[Floats, Floats]:
    """Return BM25 of each line, and of each line with its context, at most 1 each.

    The statistics are those of the candidates.
    """
    lengths = found.features.line_lengths
    line = bm25(found.line_counts, lengths, Statistics.of(found.line_counts, lengths))
    counts = found.line_counts + found.context_counts
    lengths = lengths + found.context_lengths
    context = bm25(counts, lengths, Statistics.of(counts, lengths))
    return _scaled(line), _scaled(context)


def _scaled(scores: Floats) -> Floats:
    largest = scores.max(initial=0.0)
    return scores / largest if largest > 0 else scores


def _neighbours(features: Features, base: Floats) -> Floats:
    """Return the sum of the best base scores of the event before and the one after."""
    header = features.header
    at: dict[tuple[int, int], float] = {}
    positions = list(
        zip(header["episode"].tolist(), header["seq"].tolist(), strict=True)
    )
    for position, score in zip(positions, base.tolist(), strict=True):
        at[position] = max(score, at.get(position, -np.inf))
    return np.array(
        [
            at.get((episode, seq - 1), 0.0) + at.get((episode, seq + 1), 0.0)
            if seq > 0
            else at.get((episode, 1), 0.0)
            if seq == 0
            else 0.0
            for episode, seq in positions
        ],
        np.float64,
    )


def _largest_of_group(groups: Ints, values: Floats) -> Floats:
    _, group = np.unique(groups, return_inverse=True)
    largest = np.full(len(groups), -np.inf)
    np.maximum.at(largest, group, values)
    return largest[group]


def _decay(features: Features, half_life_s: float | None, now_us: int) -> Floats:
    """Importance 1 lengthens the half-life by half, 0 shortens it by half."""
    header = features.header
    if half_life_s is None:
        return np.ones(len(header))
    importance = header["importance"].astype(np.float64)
    importance = np.where(np.isnan(importance), 0.5, importance)
    age_s = np.maximum(now_us - header["ts"], 0) / US
    decayed: Floats = 0.5 ** (age_s / (half_life_s * (0.5 + importance)))
    return decayed
