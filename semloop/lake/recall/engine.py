"""Recall on one lake: a request in, a table out; safe for concurrent callers."""

import functools
import os
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from semloop.embedders.contract import Embedder
from semloop.embedders.factory import embedder_of
from semloop.errors import LakeError, SemLoopError, StorageUnavailable
from semloop.lake.private_ids import PrivateIds
from semloop.lake.recall.episode_follower import EpisodeFollower, earlier_version
from semloop.lake.recall.episodes import Episodes
from semloop.lake.recall.hits import no_hits, read_hits
from semloop.lake.recall.memory_tables import MemoryTables
from semloop.lake.recall.query_parser import ParsedQuery, parse_query
from semloop.lake.recall.ranking import US, rank
from semloop.lake.recall.request import RecallRequest
from semloop.lake.recall.resident.follower import ResidentFollower
from semloop.lake.recall.resident.searches import ResidentSearches
from semloop.lake.recall.search_engine import RowsMoved, SearchEngine
from semloop.lake.recall.searches import MemoryTable, TableState
from semloop.lake.recall.selection import Selection
from semloop.lake.recall.turns import CallingThread, Turns
from semloop.lake.recall.wall import Wall
from semloop.lake.recall.words import unspaced_share
from semloop.lake.tokens import within_tokens
from semloop.settings import Settings
from semloop.storage.errors import (
    LANCE_ERRORS,
    OTHER_COLUMNS,
    REINDEX,
    table_errors,
    translate,
)
from semloop.storage.location import Storage

if TYPE_CHECKING:
    import pyarrow as pa

    from semloop.embedders.contract import Vectors

# Cached vectors of queries: 1.5 kB each.
QUERIES_MAX = 1_000
# Searches that run at the same time, in addition to those of the callers.
THREADS = 8
ATTEMPTS = 3
# Share of the similarity that counts for a query in a script that the default model has
# few words of: among Japanese texts, its cosines differ by 0.5 without a reason.
UNREAD = 0.2


class Query(NamedTuple):
    """One recall, in one state of the lake; `vector` is None without words to find."""

    wall: Wall
    parsed: ParsedQuery
    vector: "Vectors | None"
    now: datetime


class RecallEngine:
    """Searches the memories of one lake.

    Unit of parallelism: a call. No call changes the state of another one.

    Args:
        settings: the lake and its embedder.
        stale_s: maximum age, in seconds, of the state of the lake.
        private_ids: finds stored pseudonyms by the originals; by default its own.
    """

    def __init__(
        self,
        settings: Settings,
        stale_s: float,
        private_ids: PrivateIds | None = None,
    ) -> None:
        self._settings = settings
        self._storage = Storage.of(settings)
        self._private_ids = private_ids or PrivateIds(settings, self._storage)
        self._episodes = EpisodeFollower(self._storage, stale_s)
        self._tables = MemoryTables(self._storage, stale_s)
        self._threads = ThreadPoolExecutor(THREADS, "recall")
        mb_max = settings.recall.memory_mb
        self.resident = ResidentFollower(self._storage, self._threads, mb_max)
        self._turns = Turns(len(os.sched_getaffinity(0)))
        self._embedder: Embedder | None = None
        self._lock = Lock()
        self.vector = functools.lru_cache(QUERIES_MAX)(self._embed)

    def close(self) -> None:
        """Close connections and threads."""
        self.resident.close()
        self._threads.shutdown()
        self._episodes.close()

    def episodes(self) -> Episodes | None:
        """Return the state of the lake; None if there are no memories yet.

        Raises:
            LakeError: the lake cannot be read.
            StorageUnavailable: the storage is not available.
        """
        try:
            found = self.opened()
        except Exception as error:
            raise self._translate(error) from error
        return found[0] if found else None

    def recall(self, request: RecallRequest) -> "pa.Table":
        """Return the best memories, as a table of `semloop.lake.recall.hits.HITS`.

        Raises:
            LakeError: the memories are of another model, or cannot be read.
            StorageUnavailable: the storage is not available.
        """
        try:
            request = self._stored(request)
            for _ in range(ATTEMPTS - 1):
                try:
                    return self._recall(request)
                except (RowsMoved, RuntimeError, ValueError, OSError):
                    # A compaction in between moves rows, which makes ids invalid, or
                    # `maintain index` has dropped the version, or the table that
                    # `reindex` replaced.
                    self._episodes.expire()
                    self._tables.expire()
            return self._recall(request)
        except Exception as error:
            raise self._translate(error) from error

    def _stored(self, request: RecallRequest) -> RecallRequest:
        """Return a request with ids and query as the lake has them."""
        return replace(
            request,
            query=self._private_ids.in_query(request.query),
            session=request.session and self._stored_id(request.session),
            user=request.user and self._stored_id(request.user),
        )

    def _stored_id(self, text: str) -> str:
        ids = self._private_ids.pseudonyms(text)
        if len(ids) > 1 and (opened := self.opened()):
            # After a rotation of the key: the one that the lake knows as a user.
            return next((i for i in ids if i in opened[0].users), ids[0])
        return ids[0]

    @property
    def embedder(self) -> Embedder:
        """The embedder of the settings, loaded on first use."""
        with self._lock:
            if self._embedder is None:
                self._embedder = embedder_of(self._settings)
            return self._embedder

    def _recall(self, request: RecallRequest) -> "pa.Table":
        now = datetime.now(UTC)
        parsed = ParsedQuery(request.query)
        if request.words:
            parsed = parse_query(request.query, now)
        is_first = parsed.text and self._embedder is None
        if is_first and self._storage.on_s3:
            # LanceDB is imported meanwhile. An error is raised again below.
            self._threads.submit(lambda: self.embedder)
        opened = self.opened()
        if opened is None:
            return no_hits(parsed.description)
        wall, table = Wall(opened[0], request), opened[1]
        if is_first and not self._storage.on_s3:
            # Importing and loading the model hold the interpreter lock, this does not.
            # On S3 it might still read after the recall, with keys that have expired.
            self._threads.submit(table.read_index)
        vector, state = None, table.state()
        self._check_columns(state)
        if parsed.text:
            self._check_model(state)
            vector = self.vector(parsed.text)
        memories = self.resident.followed(table, state.version)
        query = Query(wall, parsed, vector, now)
        if memories is None:
            return self._answer(query, table, self._threads)
        if not memories.has_shown:
            # It waits for the storage, too.
            searches = ResidentSearches(memories, self._threads)
            return self._answer(query, searches, self._threads)
        with self._turns.turn() as is_alone:
            threads = self._threads if is_alone else CallingThread()
            return self._answer(query, ResidentSearches(memories, threads), threads)

    def _answer(
        self, query: Query, searches: SearchEngine, threads: Executor
    ) -> "pa.Table":
        wall, parsed = query.wall, query.parsed
        conditions = wall.conditions(parsed)
        found = Selection(
            searches, wall, conditions, parsed.text, query.vector, threads
        ).candidates()
        found = replace(found, cosines=found.cosines * self._trust(parsed.text))
        now_us = int(query.now.timestamp() * US)
        best = rank(found, wall.request.k, wall.request.half_life_s, now_us)
        hits = read_hits(searches, wall, conditions, found, best, parsed.description)
        return within_tokens(hits, wall.request.max_tokens)

    def opened(self) -> tuple[Episodes, MemoryTable] | None:
        """Return the state of the lake; None if there are no memories yet."""
        episodes = self._episodes.episodes()
        if episodes is None:
            return None
        table = self._tables.open(episodes.generation)
        return None if table is None else (episodes, table)

    def _trust(self, query: str) -> float:
        """Return how much similarity counts: less for what the model cannot read."""
        if self._settings.embedding.kind != "minilm":
            return 1.0
        return 1 - unspaced_share(query) * (1 - UNREAD)

    def _embed(self, text: str) -> "Vectors":
        vector: Vectors = self.embedder.embed([text])[0]
        return vector

    def _check_columns(self, state: TableState) -> None:
        if not state.has_features:
            raise earlier_version(self._storage)
        if not state.has_words:
            raise LakeError(OTHER_COLUMNS, REINDEX)

    def _check_model(self, state: TableState) -> None:
        stored, ours = state.model, self.embedder.model_id
        if stored not in {None, ours}:
            msg = f"The memories have vectors of {stored}; the embedder is {ours}."
            todo = "Use the previous embedder, or run `semloop maintain reindex`."
            raise LakeError(msg, todo)

    def _translate(self, error: Exception) -> Exception:
        """Translate an error of a storage library; return other errors unchanged."""
        # LanceDB has no error classes of its own; its texts contain its name.
        lance = isinstance(error, (*LANCE_ERRORS, OSError)) and "lance" in str(error)
        if isinstance(error, SemLoopError):
            return error
        if isinstance(error, RowsMoved):
            msg = "The memories were compacted again and again during the search."
            return StorageUnavailable(msg, "Try again.")
        if not lance and not isinstance(error, table_errors()):
            return error
        return translate(self._storage, "recall memories", error, lance=lance)
