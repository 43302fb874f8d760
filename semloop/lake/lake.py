"""The lake as a DuckDB: every table is a view that shows each commit at once."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from semloop import layout, tables
from semloop.errors import LakeError
from semloop.lake import lance_view
from semloop.lake.raw_views import RawViews
from semloop.lake.recall.macro import Recall
from semloop.settings import Settings, load
from semloop.storage.duckdb_access import delta_reader, init_statements
from semloop.storage.location import Storage

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

VIEWS_FOLDER = Path(__file__).with_name("views")
# The tables as they are stored; the views for people stand in the main schema.
RAW_SCHEMA = "tables"
RAW_MEMORIES = f"{RAW_SCHEMA}.memories"


class Lake:
    """All tables of a lake, to be asked in SQL.

    ```python
    with Lake(".semloop") as lake:
        print(lake.sql("SELECT type, count(*) FROM events GROUP BY ALL"))
    ```

    A table that no flow has made yet is empty and has its columns. `connection` is the
    DuckDB connection itself, for its other methods; as it is, it serves one thread.

    Args:
        path: folder or `s3://bucket/prefix`; the settings say it if not given.
        settings: read from the environment and `semloop.toml` if not given.
        stale_s: how old a state of the memories `recall` may show; each look costs.

    Raises:
        LakeError: there is no such folder, its layout is another one, or the object
            store refuses.
        StorageUnavailable: the object store does not answer.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        settings: Settings | None = None,
        *,
        stale_s: float = 1.0,
    ) -> None:
        self._settings = _settings(path, settings)
        self._storage = Storage.of(self._settings)
        if not self._storage.on_s3 and not Path(self._storage.root).is_dir():
            msg = f"There is no lake at {self._storage.root}."
            todo = "Start one with `semloop up`, or set SEMLOOP_LAKE."
            raise LakeError(msg, todo)
        layout.check(self._storage)
        self.connection: DuckDBPyConnection = delta_reader(self._storage)
        # A name that is no table is an error, never a Python variable of ours.
        self.connection.execute("SET python_enable_replacements = false")
        self.connection.execute(f"CREATE SCHEMA {RAW_SCHEMA}")
        self._raw_views = RawViews(self.connection, self._storage, RAW_SCHEMA)
        self._raw_views.refresh()
        # The generation of memories that the view shows; None before it is asked for.
        self._generation: int | None = None
        self.connection.execute(lance_view.empty(RAW_MEMORIES, loaded=False))
        for name, query in _view_queries().items():
            self.connection.execute(f"CREATE VIEW {name} AS {query}")
        self._recall = Recall(self.connection, self._settings, stale_s)

    def sql(
        self,
        query: str,
        params: Sequence[object] | Mapping[str, object] | None = None,
    ) -> "DuckDBPyRelation":
        """Ask in SQL; the answer has `.pl()`, `.df()`, `.arrow()`, `.fetchall()`.

        Args:
            query: DuckDB's SQL; of several statements the last one answers.
            params: values for `?` (a sequence) or `$name` (a mapping).

        Raises:
            duckdb.Error: DuckDB's own words about the query.
            StorageUnavailable: the object store does not answer.
        """
        self._raw_views.refresh()
        if lance_view.names_memories(query):
            self._show_memories()
        self._raw_views.check_store()
        # None, whatever the stubs say, after a statement without an answer: SET x = 1.
        relation = cast(
            "DuckDBPyRelation | None", self.connection.sql(query, params=params)
        )
        if relation is None:
            return self.connection.sql("SELECT true AS done LIMIT 0")
        return relation

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
    ) -> "pa.Table":
        """What happened that was like this? The best first, as an Arrow table.

        Meaning, words, neighbours in the episode and the session count together; of
        equal texts of a namespace the best stands for all. Time and status words such
        as "failed tool calls in the last 24 hours" become filters, which `understood`
        tells; if nothing else is asked, the newest come first. Filters hold inside each
        search, so they cost no hit. SQL has the same: `FROM recall('...', k := 5)`.

        Columns: `rank` from 1; `score` = `decay` * (3 * `similarity` + `keyword` +
        `keyword_context` + `neighbours` + `session`), where `similarity` is the cosine,
        `keyword` and `keyword_context` are BM25 of the line and of that with the line
        before, 1 at most, and `neighbours` and `session` are what those lend; `kind`
        (event, episode), `type`, `text`, `context` and `after` (what was told before
        and after it), `ts`, `agent`, `session_id`, `user_id`, `namespace`, `task_type`,
        `tool`, `status`, `error_type`; `outcome` and `reward` of its episode, NULL
        while that is open; `importance`; `count`, how many memories at least have this
        text; `episode_id`, `seq`, `part`, `event_ids`, `topic`, `topic_id`,
        `kafka_partition`, `kafka_offset`, `understood`, `id`, `model`.

        Args:
            query: what to look for.
            k: how many, up to 1,000.
            agent: of this agent only.
            namespace: of this namespace only.
            session: of one session only.
            user: of this user only.
            kind: only memories of an `event` or of an `episode`.
            since: not older than this: `24h`, `7d`, a timestamp, or Python's own types.
            min_reward: only of closed episodes of at least this reward.
            half_life: the time in which a score halves, if it should: `7d`. Importance
                1 stretches it by half, 0 shrinks it by half.
            words: False leaves time and status words in the query.

        Raises:
            ConfigError: an argument is wrong.
            LakeError: the lake cannot be read, or its memories are of another embedder.
            StorageUnavailable: the object store does not answer.
        """
        given = {
            "query": query, "k": k, "agent": agent, "namespace": namespace,
            "session": session, "user": user, "kind": kind, "since": since,
            "min_reward": min_reward, "half_life": half_life, "words": words,
        }  # fmt: skip
        return self._recall.table(given)

    def has_memories(self) -> bool:
        """Whether the flow `memory` has made its tables.

        Raises:
            LakeError: the lake cannot be read. StorageUnavailable: not now.
        """
        return self._recall.generation() is not None

    def views(self) -> dict[str, str]:
        """The views and the question that each one answers."""
        return {
            name: query.splitlines()[0].removeprefix("--").strip()
            for name, query in _view_queries().items()
        }

    def init_sql(self) -> list[str]:
        """Statements that let another DuckDB 1.5.5 open this lake; hold no secrets."""
        statements = init_statements(self._storage)
        statements.append(f"CREATE SCHEMA IF NOT EXISTS {RAW_SCHEMA}")
        statements += [
            self._raw_views.statement(table)[0] for table in tables.DELTA_TABLES
        ]
        statements += lance_view.loading(self._storage, reveal=False)
        generation = self._recall.generation()
        statements.append(
            lance_view.empty(RAW_MEMORIES, loaded=True)
            if generation is None
            else lance_view.stored(RAW_MEMORIES, self._storage, generation)
        )
        for name, query in _view_queries().items():
            statements.append(f"CREATE OR REPLACE VIEW {name} AS\n{query}")
        return statements

    def close(self) -> None:
        """Close the connection; answers that were not fetched are lost."""
        self._recall.close()
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _show_memories(self) -> None:
        """Make the view over the memories of the generation that holds."""
        if self._generation is None:
            for statement in lance_view.loading(self._storage, reveal=True):
                self.connection.execute(statement)
            self._generation = 0
        generation = self._recall.generation()
        if generation is None:
            self.connection.execute(lance_view.empty(RAW_MEMORIES, loaded=True))
        elif generation != self._generation:
            view = lance_view.stored(RAW_MEMORIES, self._storage, generation)
            self.connection.execute(view)
        self._generation = generation or 0


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


def _view_queries() -> dict[str, str]:
    return {
        file.stem: file.read_text("utf-8").strip()
        for file in sorted(VIEWS_FOLDER.glob("*.sql"))
    }
