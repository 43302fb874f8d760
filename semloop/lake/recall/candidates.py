"""The candidates of a recall: memories with the features that the ranking needs."""

import functools
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from semloop.embedders.contract import Embedder
from semloop.embedders.factory import embedder_of
from semloop.errors import LakeError
from semloop.lake.recall import features, tokens
from semloop.lake.recall.filters import RecallRequest, one_of
from semloop.lake.recall.query_parser import ParsedQuery, parse_query
from semloop.lake.recall.searches import EventPosition, Searches
from semloop.lake.recall.visibility import CommittedEpisodes
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    import pyarrow as pa

    from semloop.embedders.contract import Vectors

# Results requested from each of the two searches: first COUNT_FIRST, then four times as
# many up to COUNT_MAX, until enough distinct texts are left.
COUNT_FIRST = 60
COUNT_MAX = 12_800
# Minimum of distinct texts to rank, for small k.
TEXTS_MIN = 50
# Top results per search whose neighbours are fetched, since they raise each other.
NEIGHBOURS_OF = 10
# Maximum rows per text that are ranked; the count includes all of them.
COPIES_MAX = 8
# Maximum episodes listed in a search condition, which makes `min_reward` exact in it.
EPISODES_MAX = 500
ORIGIN = ("kind", "topic_id", "kafka_partition", "kafka_offset")
# Columns for the text that follows a hit.
TEXT_KEY = ("episode_id", "seq", "part", "text")
TEXT_COLUMNS = (*ORIGIN, *TEXT_KEY)
# Cached vectors of queries: 1.5 kB each.
QUERIES_MAX = 1_000


@dataclass(frozen=True)
class CandidateSet:
    """Candidates with `features.FEATURES`, and the filters found in the query."""

    memories: list[dict[str, Any]]
    understood: str | None

    @property
    def line_frequencies(self) -> list[int]:
        """Per stem of the query, the lines that contain it."""
        return features.document_frequencies(self.memories, "line_counts")

    @property
    def context_frequencies(self) -> list[int]:
        """Per stem of the query, the lines that, with the one before, contain it."""
        return features.document_frequencies(self.memories, "context_counts")


class Candidates:
    """Finds the candidates of a query in one lake.

    Args:
        settings: the lake and its embedder.
        stale_s: maximum age, in seconds, of the state of the lake.
    """

    def __init__(self, settings: Settings, stale_s: float) -> None:
        self._settings = settings
        storage = Storage.of(settings)
        self._episodes = CommittedEpisodes(storage, stale_s)
        self._searches = Searches(storage, stale_s)
        self._embedder: Embedder | None = None
        self.vector = functools.lru_cache(QUERIES_MAX)(self._embed)
        # Positions that the last search found empty.
        self._absent: Set[EventPosition] = set()

    def find(self, request: RecallRequest) -> CandidateSet:
        """Return the candidates of a query; empty if there are no memories yet.

        Raises:
            LakeError: the memories are of another model, or cannot be read.
        """
        parsed = ParsedQuery(request.query)
        if request.words:
            parsed = parse_query(request.query, datetime.now(UTC))
        if not self._open():
            return CandidateSet([], parsed.description)
        where = " AND ".join(self._conditions(request, parsed))
        text = parsed.text
        vector = self.vector(text) if text else None
        rows = self._rows(request, text, vector, where)
        memories = features.features(rows, tokens.query_stems(text), vector)
        return CandidateSet(memories, parsed.description)

    def texts(self, positions: set[EventPosition]) -> dict[EventPosition, str]:
        """Return the texts of visible memories at these positions."""
        positions = positions - self._absent
        if not positions or not self._open():
            return {}
        rows = self._visible(self._searches.at(positions, TEXT_COLUMNS))
        columns = (rows[name].to_pylist() for name in TEXT_KEY)
        texts = zip(*columns, strict=True)
        return {(episode, n): text for episode, n, part, text in texts if part == 0}

    def _embed(self, text: str) -> "Vectors":
        vector: Vectors = self.embedder.embed([text])[0]
        return vector

    @property
    def embedder(self) -> Embedder:
        """The embedder of the settings, loaded on first use."""
        if self._embedder is None:
            self._embedder = embedder_of(self._settings)
        return self._embedder

    def close(self) -> None:
        """Close connections and threads."""
        self._episodes.close()
        self._searches.close()

    def generation(self) -> int | None:
        """Return the current generation; None if there are no memories yet."""
        return self._episodes.generation if self._open() else None

    def _open(self) -> bool:
        """Refresh the state of the lake; False if there are no memories yet."""
        episodes = self._episodes
        return episodes.refresh() and self._searches.open(episodes.generation)

    def _conditions(self, request: RecallRequest, parsed: ParsedQuery) -> Iterator[str]:
        yield from request.conditions(parsed)
        if request.min_reward is not None:
            ids = self._episodes.with_reward(request.min_reward, EPISODES_MAX)
            if ids is not None:
                yield one_of("episode_id", ids) if ids else "false"

    def _rows(
        self, request: RecallRequest, text: str, vector: "Vectors | None", where: str
    ) -> "pa.Table":
        """Return visible rows: possible hits and their neighbours."""
        count, needed = COUNT_FIRST, max(3 * request.k, TEXTS_MIN)
        while True:
            neighbours = None
            if vector is None:
                branches = [self._searches.newest(where, count)]
            else:
                self._check_model()
                words = tokens.searched_words(text)
                results = self._searches.nearest(
                    vector, words, where, count, NEIGHBOURS_OF
                )
                branches, neighbours = results.branches, results.neighbours
                self._absent = results.absent
            hits = self._hits(request, branches)
            full = any(branch.num_rows == count for branch in branches)
            if not full or count >= COUNT_MAX:
                break
            if features.distinct_text_count(hits) >= needed:
                break
            count *= 4
        hits = features.limit_copies(hits, COPIES_MAX)
        if neighbours is None:
            return hits
        hit_ids = set(hits["id"].to_pylist())
        new = [id_ not in hit_ids for id_ in neighbours["id"].to_pylist()]
        neighbours = self._visible(features.filtered(neighbours, new))
        neighbours = features.apply_min_reward(neighbours, request.min_reward)
        return features.joined(hits, neighbours)

    def _hits(
        self, request: RecallRequest, branches: Sequence["pa.Table"]
    ) -> "pa.Table":
        rows = self._visible(features.distinct(branches))
        if request.min_reward is not None:
            import pyarrow.compute as pc

            rows = rows.filter(pc.greater_equal(rows["reward"], request.min_reward))
        return features.as_hits(rows)

    def _visible(self, rows: "pa.Table") -> "pa.Table":
        """Return the visible rows, with outcome and reward of their episodes."""
        ends = self._episodes.ends_of(rows["episode_id"].to_pylist())
        columns = (rows[name].to_pylist() for name in ORIGIN)
        visible = [
            bool(closed)
            if kind == "episode"
            else self._episodes.is_visible(topic_id, part, offset)
            for closed, kind, topic_id, part, offset in zip(
                ends.closed, *columns, strict=True
            )
        ]
        return features.filtered(features.with_outcomes(rows, ends), visible)

    def _check_model(self) -> None:
        stored, ours = self._searches.model, self.embedder.model_id
        if stored not in {None, ours}:
            msg = f"The memories have vectors of {stored}; the embedder is {ours}."
            todo = "Use the previous embedder, or run `semloop maintain reindex`."
            raise LakeError(msg, todo)
