"""Selects the candidates of a recall.

These are the best by meaning, the best by words, and the neighbours of the first ones
of both.
"""

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from semloop.lake.recall.conditions import EPISODES_MAX, Conditions
from semloop.lake.recall.features import (
    EventPosition,
    Features,
    Floats,
    Ints,
    Mask,
    concatenated,
)
from semloop.lake.recall.keywords import Statistics, bm25
from semloop.lake.recall.ranking import Candidates
from semloop.lake.recall.search_engine import Neighbours, SearchEngine, cosines
from semloop.lake.recall.stems import hashes
from semloop.lake.recall.wall import Wall
from semloop.lake.recall.words import query_terms

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

# Candidates by meaning and by words: first COUNT_FIRST each, then four times as many up
# to COUNT_MAX, until enough distinct texts are left.
COUNT_FIRST = 60
COUNT_MAX = 12_800
# More results than needed, so that equal values at the cut are ordered by id.
MARGIN = 20
# Minimum of distinct texts to rank, for small k.
TEXTS_MIN = 50
# Top results per search whose neighbours are fetched, since they raise each other.
NEIGHBOURS_OF = 10
# Maximum rows per text that are ranked; the count includes all of them.
COPIES_MAX = 8
# Matches whose words are counted; of more, `preselection` selects them.
MATCHES_MAX = 5_000
# More results than the share of episodes with enough reward lets expect.
SHARE_MARGIN = 1.5


class Near(NamedTuple):
    """The nearest memories, nearest first; `more`: True if there may be others."""

    features: Features
    cosines: Floats
    more: bool


class Selection:
    """The candidates of one request.

    Args:
        table: the memories.
        wall: what the caller may see.
        conditions: the conditions of the request.
        text: the text to search for; empty if the query has only filters.
        vector: the vector of the text; None if there are only filters.
        threads: for searches that run at the same time.
    """

    def __init__(
        self,
        table: SearchEngine,
        wall: Wall,
        conditions: Conditions,
        text: str,
        vector: "Vectors | None",
        threads: Executor,
    ) -> None:
        self._table, self._wall, self._threads = table, wall, threads
        self._conditions, self._vector = conditions, vector
        self._terms = query_terms(text)
        self._stems = hashes(self._terms)
        self._texts_needed = max(3 * wall.request.k, TEXTS_MIN)

    def candidates(self) -> Candidates:
        """Search until there are enough distinct texts, or no more results."""
        if self._vector is None:
            return self._newest()
        matching = self._threads.submit(self._matches)
        near = self._near(count := COUNT_FIRST)
        matches = matching.result()
        while True:
            best = matches.take(np.arange(min(count, len(matches))))
            hits = concatenated([near.features, best])
            all_found = not near.more and count >= len(matches)
            enough = _texts(hits) >= self._texts_needed
            if enough or all_found or count >= COUNT_MAX:
                break
            count *= 4
            near = self._near(count)
        adjacent = self._threads.submit(
            self._neighbours,
            _top_positions(near.features) | _top_positions(best),
            hits,
        )
        copies = _copies(hits, near.features, matches)
        # The nearest are the first of the hits, in the same order.
        is_kept = _rank_in_text(hits) < COPIES_MAX
        is_near = np.arange(len(hits)) < len(near.features)
        by_words = hits.take(is_kept & ~is_near)
        similar = near.cosines[is_kept[: len(near.cosines)]]
        vectors = self._table.vectors(by_words.row_ids)
        similar = np.concatenate([similar, cosines(vectors, self._vector)])
        return self._with_neighbours(
            hits.take(is_kept), similar, copies[is_kept], *adjacent.result()
        )

    def _near(self, count: int) -> Near:
        """Return the nearest memories that may be hits, at most `count`."""
        assert self._vector is not None
        limit = min(int(count * self._results_per_hit()), COUNT_MAX) + MARGIN
        found = self._table.by_meaning(self._vector, self._conditions.hits, limit)
        features = found.features
        similar = cosines(found.vectors, self._vector)
        order = np.lexsort((features.header["id"], -similar))
        order = order[self._may_be_hits(features)[order]]
        order = order[_is_first(features.take(order))]
        more = len(features) == limit or len(order) > count
        order = order[:count]
        return Near(features.take(order), similar[order], more)

    def _results_per_hit(self) -> float:
        """Return how many results have one with enough reward, if no condition does."""
        request, episodes = self._wall.request, self._wall.episodes
        if request.min_reward is None:
            return 1.0
        rewarded = episodes.rewarded_count(request.min_reward, request.namespace)
        if rewarded <= EPISODES_MAX:
            return 1.0
        return SHARE_MARGIN * episodes.count(request.namespace) / rewarded

    def _matches(self) -> Features:
        """Return the memories with words of the query, best first by BM25."""
        where = self._conditions.hits
        matches = self._table.by_words(self._terms, where, MATCHES_MAX)
        found = matches.features.take(self._may_be_hits(matches.features))
        counts, lengths = self._line_and_context(found)
        statistics = Statistics.of(counts, lengths, self._table.count(where))
        statistics = statistics.at_least(matches.frequencies)
        scores = bm25(counts, lengths, statistics)
        order = np.lexsort((found.header["id"], -scores))
        if self._wall.request.user is not None:
            # Others match by a context that the user must not see.
            order = order[np.count_nonzero(counts, axis=1)[order] > 0]
        return found.take(order)

    def _line_and_context(self, found: Features) -> tuple[Ints, Ints]:
        line, context = found.counts(self._stems)
        shown = self._wall.shows_context(found)
        lengths = found.line_lengths + found.context_lengths * shown
        return line + context * shown[:, None], lengths

    def _may_be_hits(self, features: Features) -> Any:
        return self._wall.allowed(features) & self._wall.has_reward(features)

    def _neighbours(
        self, positions: set[EventPosition], hits: Features
    ) -> tuple[Neighbours, set[EventPosition]]:
        """Return the events next to these that are not hits; positions without any."""
        adjacent = {(e, n + step) for e, n in positions for step in (-1, 1)}
        adjacent = {(e, n) for e, n in adjacent if n >= 0} - positions
        where = self._conditions
        found = self._table.neighbours(adjacent, where.wall, where.hits)
        features = found.features
        allowed = self._wall.allowed(features)
        absent = adjacent - set(features.take(allowed).positions())
        is_hit = np.isin(features.header["id"], hits.header["id"])
        mask = allowed & ~is_hit & _is_first(features)
        others = Neighbours(
            features.take(mask), found.vectors[mask], found.is_hit[mask]
        )
        return others, absent

    def _with_neighbours(
        self,
        hits: Features,
        similar: Floats,
        copies: Ints,
        neighbours: Neighbours,
        absent: set[EventPosition],
    ) -> Candidates:
        assert self._vector is not None
        near = neighbours.features
        is_hit = neighbours.is_hit & self._wall.has_reward(near)
        features = concatenated([hits, near])
        others = cosines(neighbours.vectors, self._vector)
        return self._counted(
            features,
            np.concatenate([similar, others]),
            np.concatenate([copies, np.ones(len(near), np.int64)]),
            np.concatenate([np.ones(len(hits), bool), is_hit]),
            absent,
        )

    def _counted(
        self,
        features: Features,
        similar: Floats,
        copies: Ints,
        hits: Any,
        absent: set[EventPosition],
    ) -> Candidates:
        """Add the counts of the query's stems."""
        line, context = features.counts(self._stems)
        shown = self._wall.shows_context(features)
        return Candidates(
            features=features,
            cosines=similar,
            line_counts=line,
            context_counts=context * shown[:, None],
            context_lengths=features.context_lengths * shown,
            copies=copies,
            hits=hits,
            absent=absent,
        )

    def _newest(self) -> Candidates:
        """Return the newest memories that may be hits."""
        count = COUNT_FIRST
        while True:
            found = self._table.newest(self._conditions.hits, count)
            full = len(found) == count
            found = found.take(self._may_be_hits(found))
            enough = _texts(found) >= self._texts_needed
            if enough or not full or count >= COUNT_MAX:
                break
            count *= 4
        copies = _copies(found, found)
        kept = _rank_in_text(found) < COPIES_MAX
        found = found.take(kept)
        none = np.zeros(len(found))
        is_hit = np.ones(len(found), bool)
        return self._counted(found, none, copies[kept], is_hit, set())


def _texts(features: Features) -> int:
    # A set is as fast: numpy's function imports all of its masked arrays first.
    return len(set(features.header["text"].tolist()))


def _top_positions(features: Features) -> set[EventPosition]:
    """Return the positions of the events among the first `NEIGHBOURS_OF` memories."""
    first = features.take(np.arange(min(NEIGHBOURS_OF, len(features))))
    return {(episode, n) for episode, n in first.positions() if n >= 0}


def _is_first(features: Features) -> Mask:
    """Return which memories are the first of their id.

    Two writers at the same time may have stored a memory twice.
    """
    mask = np.zeros(len(features), bool)
    mask[np.unique(features.header["id"], return_index=True)[1]] = True
    return mask


def _copies(of: Features, *among: Features) -> Ints:
    """Count, for each memory, those of the same text among others, each id once."""
    header = np.concatenate([features.header for features in among])
    _, first = np.unique(header["id"], return_index=True)
    texts, counts = np.unique(header["text"][first], return_counts=True)
    found: Ints = counts[np.searchsorted(texts, of.header["text"])]
    return found


def _rank_in_text(features: Features) -> Ints:
    """Number the memories of equal texts, from 0, in their order."""
    seen: dict[int, int] = {}
    ranks = []
    for text in features.header["text"].tolist():
        ranks.append(seen.get(text, 0))
        seen[text] = ranks[-1] + 1
    return np.array(ranks, np.int64)
