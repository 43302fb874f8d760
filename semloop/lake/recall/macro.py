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
# Arguments of `recall` behind the query, with their defaults in SQL.
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
# What the words were taken for is in the metadata of the table too, which has rows or
# not.
UNDERSTOOD = b"semloop.understood"
VARCHAR = "VARCHAR"
# The structure of the JSON of an answer, in DuckDB's words.
ANSWER = msgspec.json.encode(
    {
        "failed": VARCHAR,
        "half_life_s": "DOUBLE",
        "understood": VARCHAR,
        "memories": [features.FEATURES | {"shown": "JSON"}],
        "own_found": ["INTEGER"],
        "around_found": ["INTEGER"],
    }
).decode()
SHOWN = msgspec.json.encode(features.SHOWN).decode()
CALL = "FROM recall($query, " + ", ".join(f"{n} := ${n}" for n in ARGUMENTS) + ")"


class Recall:
    """Makes `recall` and `embed` known to a connection.

    `failed` is what went wrong in the last call, if something did: DuckDB passes on no
    more than its words.
    """

    def __init__(
        self, con: "DuckDBPyConnection", settings: Settings, stale_s: float
    ) -> None:
        self._settings, self._stale_s = settings, stale_s
        self._found: Candidates | None = None
        self.failed: BaseException | None = None
        self._understood: str | None = None
        # The one that `table` asks.
        self._own: DuckDBPyConnection | None = None
        self._define(con)

    def _define(self, con: "DuckDBPyConnection") -> None:
        self._register(con, "memory_candidates", self._candidates)
        self._register(con, "memory_texts", self._texts)
        self._register(con, "memory_vector", self._vector)
        parameters = ", ".join(f'"{name}" := {v}' for name, v in ARGUMENTS.items())
        ranking = RANKING.read_text("utf-8")
        for name, structure in (("$answer", ANSWER), ("$shown", SHOWN)):
            ranking = ranking.replace(name, structure)
        con.execute(f"CREATE MACRO recall(query, {parameters}) AS TABLE {ranking}")
        con.execute("CREATE MACRO embed(text) AS memory_vector(text)::FLOAT[]")

    def _register(
        self, con: "DuckDBPyConnection", name: str, function: Callable[[str], str]
    ) -> None:
        def tried(text: str) -> str:
            try:
                return function(text)
            except BaseException as error:
                self.failed = self._told(error)
                raise

        # What is given is JSON: of Arrow arrays DuckDB may read the strings after their
        # memory was freed (its issue 20606), and Python values take it seconds.
        # Without side effects it would call a function while it plans, and again.
        con.create_function(
            name,
            tried,
            [VARCHAR],
            VARCHAR,
            side_effects=True,
        )

    @property
    def candidates(self) -> Candidates:
        """What finds candidates; the lake is looked at when it is first needed."""
        if self._found is None:
            self._found = Candidates(self._settings, self._stale_s)
        return self._found

    def close(self) -> None:
        """Let go of what is open."""
        if self._own is not None:
            self._own.close()
        if self._found is not None:
            self._found.close()

    def generation(self) -> int | None:
        """The generation of memories that holds; None if there are none yet.

        Raises:
            LakeError: the lake cannot be read. StorageUnavailable: not now.
        """
        try:
            return self.candidates.generation()
        except Exception as error:
            raise self._told(error) from error

    def table(self, given: Mapping[str, Any]) -> "pa.Table":
        """The answer to a query, given as the arguments of `recall`.

        Raises:
            SemLoopError: as `Lake.recall`.
        """
        import duckdb

        self.failed = None
        values = dict(given)
        if isinstance(values["since"], (datetime, timedelta)):
            since = moment("since", values["since"], datetime.now(UTC))
            values["since"] = since.isoformat()
        if isinstance(values["half_life"], timedelta):
            values["half_life"] = f"{length_s('half_life', values['half_life'])}s"
        try:
            found = self._connection().execute(CALL, values).to_arrow_table()
        except duckdb.Error:
            if self.failed is not None:
                raise self.failed from None
            raise
        said = {UNDERSTOOD: self._understood} if self._understood else None
        return found.replace_schema_metadata(said)

    def _connection(self) -> "DuckDBPyConnection":
        """A database for nothing but the ranking.

        A few hundred candidates are ranked faster by one thread than by several, which
        wait for each other.
        """
        import duckdb

        if self._own is None:
            own = duckdb.connect(config={"threads": 1})
            own.execute("SET TimeZone = 'UTC'")
            self._define(own)
            self._own = own
        return self._own

    def _candidates(self, query: str) -> str:
        """The JSON of an `Answer` to the JSON of the arguments."""
        try:
            asked = _asked(msgspec.json.decode(query))
            asked.check()
            found = self.candidates.find(asked)
            self._understood = found.understood
            answer = Answer(
                None, asked.half_life_s, found.understood, found.memories,
                found.own_found, found.around_found,
            )  # fmt: skip
        except BaseException as error:
            # The words alone: DuckDB would add where in our code it was.
            self.failed = self._told(error)
            answer = Answer(str(self.failed))
        return msgspec.json.encode(answer).decode()

    def _texts(self, places: str) -> str:
        """The JSON of the texts at places that are given as JSON."""
        wanted = msgspec.json.decode(places, type=list[Told])
        found = self.candidates.texts({(told.episode_id, told.seq) for told in wanted})
        texts = [Told(episode, n, text) for (episode, n), text in found.items()]
        return msgspec.json.encode(texts).decode()

    def _vector(self, text: str) -> str:
        """The vector of a text as DuckDB casts it to FLOAT[]."""
        return str(self.candidates.vector(text).tolist())

    def _told(self, error: BaseException) -> BaseException:
        """An error of a library as one of ours."""
        from semloop.storage.errors import LANCE_ERRORS, table_errors, translate

        # LanceDB has no errors of its own: it says so in their text.
        lance = isinstance(error, (*LANCE_ERRORS, OSError)) and "lance" in str(error)
        if not isinstance(error, Exception) or isinstance(error, SemLoopError):
            return error
        if not lance and not isinstance(error, table_errors()):
            return error
        storage = Storage.of(self._settings)
        return translate(storage, "recall memories", error, lance=lance)


class Told(msgspec.Struct, frozen=True):
    """A place in an episode, and what was said there."""

    episode_id: str
    seq: int
    text: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What DuckDB gets for one call of `recall`."""

    failed: str | None
    half_life_s: float | None = None
    understood: str | None = None
    memories: list[dict[str, Any]] = []
    own_found: list[int] = []
    around_found: list[int] = []


def _asked(given: dict[str, Any]) -> RecallRequest:
    now = datetime.now(UTC)
    since, half_life = given["since"], given.pop("half_life")
    least = given["min_reward"]
    given |= {
        "query": given["query"] or "",
        "k": 0 if given["k"] is None else given["k"],
        "since": None if since is None else moment("since", since, now),
        "min_reward": None if least is None else float(least),
        "half_life_s": None if half_life is None else length_s("half_life", half_life),
        "words": given["words"] is not False,
    }
    return RecallRequest(**given)
