"""The memories among which a recall ranks, with all that the ranking needs of each."""

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
from semloop.lake.recall.searches import Place, Searches
from semloop.lake.recall.visibility import CommittedEpisodes
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    import pyarrow as pa

    from semloop.embedders.contract import Vectors

# Memories that each of both searches gives: at first so many; while fewer than needed
# are left of them, four times as many.
COUNT_FIRST = 60
COUNT_MAX = 12_800
# Different texts that are needed to rank k of them, at least so many.
TEXTS_MIN = 50
# The neighbours of the first ones of each search are fetched: they lift each other.
NEIGHBOURS_OF = 10
# Of a text that is there more often so many are ranked; all of them are counted.
COPIES_MAX = 8
# Up to so many episodes are named in a search: a filter by reward, exact at once.
NAMED_MAX = 500
PLACE = ("kind", "topic_id", "kafka_partition", "kafka_offset")
# What is read to tell what came after.
TOLD = (*PLACE, "episode_id", "seq", "part", "text")
AFTER = ("episode_id", "seq", "part", "text")
# Vectors of queries that are remembered: 1.5 kB each.
QUERIES_MAX = 1_000


@dataclass(frozen=True)
class Found:
    """Candidates, of `measured.FEATURES`, and what the words were taken for."""

    memories: list[dict[str, Any]]
    understood: str | None

    @property
    def own_found(self) -> list[int]:
        """In how many own lines each stem of the query is."""
        return features.found_in(self.memories, "own")

    @property
    def around_found(self) -> list[int]:
        """The same of own lines with those before."""
        return features.found_in(self.memories, "around")


class Candidates:
    """Finds the candidates of a query in one lake.

    Args:
        settings: the lake and its embedder.
        stale_s: how old the state of the lake may be.
    """

    def __init__(self, settings: Settings, stale_s: float) -> None:
        self._settings = settings
        storage = Storage.of(settings)
        self.seen = CommittedEpisodes(storage, stale_s)
        self._searches = Searches(storage, stale_s)
        self._embedder: Embedder | None = None
        self.vector = functools.lru_cache(QUERIES_MAX)(self._embedded)
        # Places that the last query was told are empty.
        self._absent: Set[Place] = set()

    def find(self, asked: RecallRequest) -> Found:
        """The candidates of a query; none if there are no memories yet.

        Raises:
            LakeError: the memories are of another model, or cannot be read.
        """
        now = datetime.now(UTC)
        understood = parse_query(asked.query, now) if asked.words else None
        understood = understood or ParsedQuery(asked.query)
        if not self._opened():
            return Found([], understood.said)
        where = " AND ".join(self._conditions(asked, understood))
        text = understood.text
        vector = self.vector(text) if text else None
        rows = self._rows(asked, text, vector, where)
        return Found(
            features.measured(rows, tokens.query_stems(text), vector), understood.said
        )

    def texts(self, places: set[Place]) -> dict[Place, str]:
        """The texts at these places, of memories that count."""
        places = places - self._absent
        if not places or not self._opened():
            return {}
        rows = self._counting(self._searches.at(places, TOLD))
        columns = (rows[name].to_pylist() for name in AFTER)
        found = zip(*columns, strict=True)
        return {(episode, n): text for episode, n, part, text in found if part == 0}

    def _embedded(self, text: str) -> "Vectors":
        """The vector of a query."""
        vector: Vectors = self.embedder.embed([text])[0]
        return vector

    @property
    def embedder(self) -> Embedder:
        """The embedder of the settings, loaded when it is first needed."""
        if self._embedder is None:
            self._embedder = embedder_of(self._settings)
        return self._embedder

    def close(self) -> None:
        """Let go of what is open."""
        self.seen.close()
        self._searches.close()

    def generation(self) -> int | None:
        """The generation of memories that holds; None if there are none yet."""
        return self.seen.generation if self._opened() else None

    def _opened(self) -> bool:
        return self.seen.look() and self._searches.open(self.seen.generation)

    def _conditions(
        self, asked: RecallRequest, understood: ParsedQuery
    ) -> Iterator[str]:
        yield from asked.conditions(understood)
        if asked.min_reward is not None:
            episodes = self.seen.rewarded(asked.min_reward, NAMED_MAX)
            if episodes is not None:
                yield one_of("episode_id", episodes) if episodes else "false"

    def _rows(
        self, asked: RecallRequest, text: str, vector: "Vectors | None", where: str
    ) -> "pa.Table":
        """Rows that count, those that may be hits and their neighbours."""
        count, needed = COUNT_FIRST, max(3 * asked.k, TEXTS_MIN)
        while True:
            around = None
            if vector is None:
                branches = [self._searches.newest(where, count)]
            else:
                self._check_model()
                words = tokens.searched_words(text)
                near = self._searches.nearest(
                    vector, words, where, count, NEIGHBOURS_OF
                )
                branches, around = near.branches, near.around
                self._absent = near.absent
            hits = self._hits(asked, branches)
            full = any(branch.num_rows == count for branch in branches)
            if not full or count >= COUNT_MAX or features.texts(hits) >= needed:
                break
            count *= 4
        hits = features.few_of_each(hits, COPIES_MAX)
        if around is None:
            return hits
        # What is a hit already is none of its own neighbours.
        known = set(hits["id"].to_pylist())
        new = [id_ not in known for id_ in around["id"].to_pylist()]
        neighbours = self._counting(features.only(around, new))
        return features.joined(hits, features.worth(neighbours, asked.min_reward))

    def _hits(self, asked: RecallRequest, branches: Sequence["pa.Table"]) -> "pa.Table":
        rows = self._counting(features.distinct(branches))
        if asked.min_reward is not None:
            import pyarrow.compute as pc

            rows = rows.filter(pc.greater_equal(rows["reward"], asked.min_reward))
        return features.marked(rows)

    def _counting(self, rows: "pa.Table") -> "pa.Table":
        """Those that count, with the end of their episode."""
        ends = self.seen.ends_of(rows["episode_id"].to_pylist())
        columns = (rows[name].to_pylist() for name in PLACE)
        counts = [
            bool(closed)
            if kind == "episode"
            else self.seen.counts(topic_id, part, offset)
            for closed, kind, topic_id, part, offset in zip(
                ends.closed, *columns, strict=True
            )
        ]
        return features.only(features.ended(rows, ends), counts)

    def _check_model(self) -> None:
        stored, ours = self._searches.model, self.embedder.model_id
        if stored not in {None, ours}:
            msg = f"The memories have vectors of {stored}; the embedder is {ours}."
            todo = "Set SEMLOOP_EMBEDDER as it was, or run `semloop maintain reindex`."
            raise LakeError(msg, todo)
