"""The lake as a DuckDB database: every table is a view on its newest commit."""

import os
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from semloop import layout
from semloop.lake.artifacts import ArtifactQueries
from semloop.lake.database import Database
from semloop.lake.private_ids import PrivateIds
from semloop.lake.query_metrics import QueryTimes
from semloop.settings import Settings, load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from prometheus_client import CollectorRegistry

    from semloop.lake.recall.engine import RecallEngine


class Lake(ArtifactQueries):
    """SQL access to all tables of a lake.

    ```python
    with Lake(".semloop") as lake:
        print(lake.sql("SELECT type, count(*) FROM events GROUP BY ALL"))
    ```

    A table that no flow has created yet is empty and has its columns. `connection` is
    the DuckDB connection of the thread that opened the lake, for its other methods.

    Several threads may use one Lake. In the thread that opened it, all queries share
    one connection, with its temporary tables and settings; in other threads, each query
    has a connection of its own. Asynchronous callers use `asyncio.to_thread`.

    Args:
        path: folder or `s3://bucket/prefix`; by default the setting `lake`.
        settings: by default read from the environment and `semloop.toml`.
        stale_s: maximum age, in seconds, of the state that `recall` searches.
        metrics: a registry of prometheus-client for the seconds of all queries. `sql`
            then computes the whole result immediately, and keeps it in memory.

    Raises:
        MissingExtra: there is a registry, but no prometheus-client.
        LakeError: the folder does not exist, the lake has another layout, or the
            object store refuses.
        StorageUnavailable: the object store does not answer.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        settings: Settings | None = None,
        *,
        stale_s: float = 1.0,
        metrics: "CollectorRegistry | None" = None,
    ) -> None:
        self._times = QueryTimes(metrics)
        self._settings = _settings(path, settings)
        self._storage = Storage.of(self._settings)
        layout.require_lake(self._storage)
        layout.check(self._storage)
        self._stale_s = stale_s
        self._lock = threading.Lock()
        self._engine: RecallEngine | None = None
        self._ids = PrivateIds(self._settings, self._storage)
        self._database = Database(self._settings, self._recall_engine, self._ids)

    @property
    def connection(self) -> "DuckDBPyConnection":
        """The DuckDB connection of the thread that opened the lake."""
        return self._database.open()[0]

    def sql(
        self,
        query: str,
        params: Sequence[object] | Mapping[str, object] | None = None,
    ) -> "DuckDBPyRelation":
        """Run a query; the result has `.pl()`, `.df()`, `.arrow()`, `.fetchall()`.

        Args:
            query: DuckDB SQL; the result is that of the last statement.
            params: values for `?` (a sequence) or `$name` (a mapping).

        Raises:
            duckdb.Error: DuckDB rejects the query.
            StorageUnavailable: the object store does not answer.
        """
        execute = self._times.measures
        return self._times.timed(
            "sql", lambda: self._database.sql(query, params, execute=execute)
        )

    def recall(
        self,
        query: str,
        k: int = 10,
        *,
        agent: str | None = None,
        namespace: str | None = None,
        session: str | None = None,
        user: str | None = None,
        kind: str | None = None,
        since: str | datetime | timedelta | None = None,
        min_reward: float | None = None,
        half_life: str | timedelta | None = None,
        words: bool = True,
        max_tokens: int | None = None,
    ) -> "pa.Table":
        """Return the memories that best match a query, best first, as an Arrow table.

        The score combines meaning, words, neighbours in the episode and the session.
        Memories of a namespace with equal texts are one hit. Time and status words such
        as "failed tool calls in the last 24 hours" become filters, shown in
        `understood`; without other words in the query, the newest memories are first.
        Filters apply inside each search, so they do not reduce the number of hits; only
        `min_reward` may, if over 2,000 episodes have it, but few of all. In SQL: `FROM
        recall('...', k := 5)`.

        Columns: `rank` from 1; `score` = `decay` * (3 * `similarity` + `keyword` +
        `keyword_context` + `neighbours` + `session`), where `similarity` is the cosine,
        `keyword` and `keyword_context` are BM25 of the line and of the line with the
        one before, scaled to at most 1, and `neighbours` and `session` are the shares
        of adjacent events and of the session's best; `kind` (event, episode), `type`,
        `text`, `context` and `after` (the texts before and after it), `ts`, `agent`,
        `session_id`, `user_id`, `namespace`, `task_type`, `tool`, `status`,
        `error_type`; `outcome` and `reward` of its episode, NULL while that is open;
        `importance`; `count`, a lower bound of the memories with this text;
        `episode_id`, `seq`, `part`, `event_ids`, `topic`, `topic_id`,
        `kafka_partition`, `kafka_offset`, `understood`, `id`, `model`.

        Args:
            query: text to search for.
            k: maximum number of hits, up to 1,000.
            agent: only this agent.
            namespace: only this namespace.
            session: only this session.
            user: only this user, also by the original of a private id.
            kind: only memories of an `event` or of an `episode`.
            since: maximum age (`24h`, a timedelta) or earliest time (ISO, a datetime).
            min_reward: only closed episodes with at least this reward.
            half_life: time in which a score halves, for example `7d`; by default scores
                do not decay. Importance 1 lengthens it by half, 0 shortens it by half.
            words: False keeps time and status words in the query.
            max_tokens: drop the hits from the first one on with which `text`, `context`
                and `after` of all have more tokens, estimated by
                `semloop.lake.tokens.estimate_tokens`.

        Raises:
            ConfigError: an argument is invalid.
            LakeError: the lake cannot be read, or its memories are of another embedder.
            StorageUnavailable: the object store does not answer.
        """
        arguments = {
            "query": query, "k": k, "agent": agent, "namespace": namespace,
            "session": session, "user": user, "kind": kind, "since": since,
            "min_reward": min_reward, "half_life": half_life, "words": words,
            "max_tokens": max_tokens,
        }  # fmt: skip
        from semloop.lake.recall.request import RecallRequest

        request = RecallRequest.of(arguments, datetime.now(UTC))
        return self._times.timed(
            "recall", lambda: self._recall_engine().recall(request)
        )

    def pseudonyms(self, text: str) -> list[str]:
        """Return how the lake stores an id; a private one needs the redaction key."""
        return self._ids.pseudonyms(text)

    def has_memories(self) -> bool:
        """Return True if the flow `memory` has created its tables.

        Raises:
            LakeError, StorageUnavailable: the lake cannot be read.
        """
        return self._recall_engine().episodes() is not None

    def views(self) -> dict[str, str]:
        """Return the views by name, each with the question that it answers."""
        from semloop.lake.catalog import view_questions

        return view_questions()

    def init_sql(self) -> list[str]:
        """Return statements, without keys, that open this lake in any DuckDB 1.5.5."""
        return self._database.open()[1].init_statements()

    def interrupt(self) -> None:
        """Stop the query that runs in `connection`, if there is one."""
        self._database.interrupt()

    def close(self) -> None:
        """Close the connection; results that were not fetched are lost."""
        if self._engine is not None:
            self._engine.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _recall_engine(self) -> "RecallEngine":
        """Return the engine, opened on first use: it takes a moment to import."""
        with self._lock:
            if self._engine is None:
                from semloop.lake.recall.engine import RecallEngine

                self._engine = RecallEngine(self._settings, self._stale_s, self._ids)
            return self._engine


def _settings(
    path: str | os.PathLike[str] | None, settings: Settings | None
) -> Settings:
    if path is None:
        return settings or load()
    lake = os.fspath(path)
    if not lake.startswith("s3://"):
        lake = str(Path(lake).expanduser().absolute())
    if settings is None:
        return load(lake=lake)
    return settings.replace(lake=lake)
