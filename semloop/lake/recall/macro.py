"""`recall` as a table macro of DuckDB, and `embed` as a function."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from semloop.errors import SemLoopError
from semloop.lake.recall import features
from semloop.lake.recall.candidates import Candidates
from semloop.lake.recall.filters import RecallRequest
from semloop.lake.recall.times import length_s, moment
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

RANKING = Path(__file__).with_name("ranking.sql")
# Arguments of `recall` after the query, with their defaults in SQL.
ARGUMENTS = {
    "k": "10",
    "agent": "NULL",
    "namespace": "NULL",
    "session": "NULL",
    "user": "NULL",
    "kind": "NULL",
    "since": "NULL",
    "min_reward": "NULL",
    "half_life": "NULL",
    "words": "true",
}
# Key of the filters found in the query in the schema metadata of the result, which
# exists even if the result has no rows.
UNDERSTOOD = b"semloop.understood"
VARCHAR = "VARCHAR"
# Structure of the JSON of a `Response`, as DuckDB's `from_json` takes it.
RESPONSE = msgspec.json.encode(
    {
        "error": VARCHAR,
        "half_life_s": "DOUBLE",
        "understood": VARCHAR,
        "memories": [features.FEATURES | {"output": "JSON"}],
        "line_frequencies": ["INTEGER"],
        "context_frequencies": ["INTEGER"],
    }
).decode()
OUTPUT = msgspec.json.encode(features.OUTPUT).decode()
CALL = "FROM recall($query, " + ", ".join(f"{n} := ${n}" for n in ARGUMENTS) + ")"


class Recall:
    """Defines `recall` and `embed` on a connection.

    `error` is the exception of the last call, if it failed: DuckDB passes on only its
    text.
    """

    def __init__(
        self, con: "DuckDBPyConnection", settings: Settings, stale_s: float
    ) -> None:
        self._settings, self._stale_s = settings, stale_s
        self._candidates: Candidates | None = None
        self.error: BaseException | None = None
        self._understood: str | None = None
        # Connection of `table`.
        self._own: DuckDBPyConnection | None = None
        self._define(con)

    def _define(self, con: "DuckDBPyConnection") -> None:
        self._register(con, "memory_candidates", self._respond)
        self._register(con, "memory_texts", self._texts)
        self._register(con, "memory_vector", self._vector)
        parameters = ", ".join(f'"{name}" := {v}' for name, v in ARGUMENTS.items())
        ranking = RANKING.read_text("utf-8")
        for name, structure in (("$response", RESPONSE), ("$output", OUTPUT)):
            ranking = ranking.replace(name, structure)
        con.execute(f"CREATE MACRO recall(query, {parameters}) AS TABLE {ranking}")
        con.execute("CREATE MACRO embed(text) AS memory_vector(text)::FLOAT[]")

    def _register(
        self, con: "DuckDBPyConnection", name: str, function: Callable[[str], str]
    ) -> None:
        def record_errors(text: str) -> str:
            try:
                return function(text)
            except BaseException as error:
                self.error = self._translate(error)
                raise

        # Arguments and results are JSON: DuckDB may read the strings of Arrow arrays
        # after their memory was freed (its issue 20606), and Python values take seconds
        # to convert. Without side effects, it would also call functions while planning.
        con.create_function(
            name,
            record_errors,
            [VARCHAR],
            VARCHAR,
            side_effects=True,
        )

    @property
    def candidates(self) -> Candidates:
        """The search for candidates; the lake is opened on first use."""
        if self._candidates is None:
            self._candidates = Candidates(self._settings, self._stale_s)
        return self._candidates

    def close(self) -> None:
        """Close connections and threads."""
        if self._own is not None:
            self._own.close()
        if self._candidates is not None:
            self._candidates.close()

    def generation(self) -> int | None:
        """Return the current generation; None if there are no memories yet.

        Raises:
            LakeError: the lake cannot be read.
            StorageUnavailable: the storage is not available.
        """
        try:
            return self.candidates.generation()
        except Exception as error:
            raise self._translate(error) from error

    def table(self, arguments: Mapping[str, Any]) -> "pa.Table":
        """Return the result for the arguments of `recall`.

        Raises:
            SemLoopError: see `Lake.recall`.
        """
        import duckdb

        self.error = None
        values = dict(arguments)
        if isinstance(values["since"], (datetime, timedelta)):
            since = moment("since", values["since"], datetime.now(UTC))
            values["since"] = since.isoformat()
        if isinstance(values["half_life"], timedelta):
            values["half_life"] = f"{length_s('half_life', values['half_life'])}s"
        try:
            result = self._connection().execute(CALL, values).to_arrow_table()
        except duckdb.Error:
            if self.error is not None:
                raise self.error from None
            raise
        metadata = {UNDERSTOOD: self._understood} if self._understood else None
        return result.replace_schema_metadata(metadata)

    def _connection(self) -> "DuckDBPyConnection":
        """Return a connection for the ranking only.

        One thread ranks a few hundred candidates faster than several, which wait for
        each other.
        """
        import duckdb

        if self._own is None:
            own = duckdb.connect(config={"threads": 1})
            own.execute("SET TimeZone = 'UTC'")
            self._define(own)
            self._own = own
        return self._own

    def _respond(self, arguments: str) -> str:
        """Return a `Response` as JSON to the arguments as JSON."""
        try:
            request = _request(msgspec.json.decode(arguments))
            request.check()
            found = self.candidates.find(request)
            self._understood = found.understood
            response = Response(
                None, request.half_life_s, found.understood, found.memories,
                found.line_frequencies, found.context_frequencies,
            )  # fmt: skip
        except BaseException as error:
            # Only the text: DuckDB would add a traceback of our code.
            self.error = self._translate(error)
            response = Response(str(self.error))
        return msgspec.json.encode(response).decode()

    def _texts(self, positions: str) -> str:
        """Return the texts at positions, both as JSON of `EventText`s."""
        events = msgspec.json.decode(positions, type=list[EventText])
        found = self.candidates.texts(
            {(event.episode_id, event.seq) for event in events}
        )
        texts = [EventText(episode, n, text) for (episode, n), text in found.items()]
        return msgspec.json.encode(texts).decode()

    def _vector(self, text: str) -> str:
        """Return the vector of a text, formatted for DuckDB's cast to FLOAT[]."""
        return str(self.candidates.vector(text).tolist())

    def _translate(self, error: BaseException) -> BaseException:
        """Translate an error of a storage library; return other errors unchanged."""
        from semloop.storage.errors import LANCE_ERRORS, table_errors, translate

        # LanceDB has no error classes of its own; its texts contain its name.
        lance = isinstance(error, (*LANCE_ERRORS, OSError)) and "lance" in str(error)
        if not isinstance(error, Exception) or isinstance(error, SemLoopError):
            return error
        if not lance and not isinstance(error, table_errors()):
            return error
        storage = Storage.of(self._settings)
        return translate(storage, "recall memories", error, lance=lance)


class EventText(msgspec.Struct, frozen=True):
    """The position of an event in its episode, and its text."""

    episode_id: str
    seq: int
    text: str | None = None


class Response(msgspec.Struct, frozen=True):
    """Input of the ranking for one call of `recall`."""

    error: str | None
    half_life_s: float | None = None
    understood: str | None = None
    memories: list[dict[str, Any]] = []
    line_frequencies: list[int] = []
    context_frequencies: list[int] = []


def _request(values: dict[str, Any]) -> RecallRequest:
    now = datetime.now(UTC)
    since, half_life = values["since"], values.pop("half_life")
    min_reward = values["min_reward"]
    values |= {
        "query": values["query"] or "",
        "k": 0 if values["k"] is None else values["k"],
        "since": None if since is None else moment("since", since, now),
        "min_reward": None if min_reward is None else float(min_reward),
        "half_life_s": None if half_life is None else length_s("half_life", half_life),
        "words": values["words"] is not False,
    }
    return RecallRequest(**values)
