"""`semloop sql`: one query, a script from stdin, or a shell."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.cli.lake_queries import open_lake
from semloop.command.terminal.output import Format, Row, print_rows
from semloop.command.terminal.printing import note, say
from semloop.errors import ConfigError, LakeError, SemLoopError
from semloop.lake.lake import Lake
from semloop.settings import load
from semloop.storage.damage import DAMAGED
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings

# Rows that are fetched as Python values at a time.
LINE_NUMBER = re.compile(r"^LINE (\d+)")
FETCH_ROWS = 2_000
HISTORY_FILE = "sql_history"
SHELL_HELP = """\
End a query with ; and press Enter. Ctrl-C clears the input, Ctrl-D exits.
.tables   List the views; DESCRIBE name; lists the columns of one
.help     Show this text
.quit     Exit
FROM recall('refund refused', k := 5);   searches the memories"""


class SqlFormat(StrEnum):
    """Output format of a result."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def sql(
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="QUERY",
            help="DuckDB SQL. Default: standard input, or a shell on a terminal.",
        ),
    ] = None,
    form: Annotated[
        SqlFormat | None,
        typer.Option("--format", help="Default: by the suffix of --output, or table."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the result to this file."),
    ] = None,
    print_init: Annotated[
        bool,
        typer.Option(
            "--print-init", help="Print SQL that opens this lake in DuckDB 1.5.5."
        ),
    ] = False,
) -> None:
    """Query the lake with SQL."""
    form = form or _format_of(output)
    if form is SqlFormat.PARQUET and output is None and sys.stdout.isatty():
        msg = "Parquet cannot be printed to a terminal."
        raise ConfigError(msg, "Add --output FILE or redirect standard output.")
    settings = load()
    with open_lake(settings) as lake:
        if print_init:
            _print_init(lake)
        elif query is not None:
            _run_query(lake, query, form, output)
        elif not sys.stdin.isatty():
            _run_query(lake, sys.stdin.read(), form, output)
        else:
            _shell(lake, Storage.of(settings), form)


def _format_of(output: Path | None) -> SqlFormat:
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    return SqlFormat(suffix) if suffix in set(SqlFormat) else SqlFormat.TABLE


def _print_init(lake: Lake) -> None:
    statements = lake.init_sql()
    if any("credential_chain" in statement for statement in statements):
        say("-- DuckDB reads credentials from AWS_* and the AWS profiles at run time.")
    if any("ca_cert_file" in statement for statement in statements):
        say("-- The delta extension needs the same CA in the variable SSL_CERT_FILE.")
    say("-- recall() and embed() are available only in `semloop sql` and in Lake.")
    for statement in statements:
        say(f"{statement};")


def _run_query(lake: Lake, query: str, form: SqlFormat, output: Path | None) -> None:
    if not query.strip():
        msg = "The query is empty."
        raise ConfigError(msg, "Try: semloop sql 'SELECT count(*) FROM events'")
    with sql_errors(lake.connection, query):
        relation = lake.sql(query)
        if form is SqlFormat.PARQUET:
            _write_parquet(relation, output)
        elif output is None:
            _print(relation, form)
        else:
            _replace(output, lambda draft: _print_to(draft, relation, form))


def _print(relation: "DuckDBPyRelation", form: SqlFormat) -> None:
    # Fetch first, so that an error in these rows is raised before any output.
    first = relation.fetchmany(FETCH_ROWS)
    rows = chain(first, _remaining(relation)) if first else iter(())
    print_rows(relation.columns, rows, Format(form))


def _remaining(relation: "DuckDBPyRelation") -> Iterator[Row]:
    while rows := relation.fetchmany(FETCH_ROWS):
        yield from rows


def _print_to(draft: Path, relation: "DuckDBPyRelation", form: SqlFormat) -> None:
    with draft.open("w", encoding="utf-8", newline="") as file:
        print_rows(relation.columns, _remaining(relation), Format(form), file)


def _write_parquet(relation: "DuckDBPyRelation", output: Path | None) -> None:
    def write(path: Path) -> None:
        relation.write_parquet(str(path), compression="zstd")

    if output is not None:
        _replace(output, write)
        return
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "result.parquet")
        write(draft)
        with draft.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def _replace(output: Path, write: Callable[[Path], None]) -> None:
    """Write a file atomically."""
    draft = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        write(draft)
        draft.replace(output)
    except OSError as exc:
        msg = f"{output} cannot be written: {exc.strerror}."
        raise ConfigError(msg, "Use a file in a writable folder.") from None
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def sql_errors(con: "DuckDBPyConnection", query: str) -> Iterator[None]:
    """Raise DuckDB's errors as ours, with the line, the caret and the candidates."""
    import duckdb

    try:
        yield
    except duckdb.Error as exc:
        lines = _with_position(con, query, str(exc)) or [type(exc).__name__]
        suggests = any(line.startswith(("Did you mean", "Candidate")) for line in lines)
        todo = "" if suggests else "List the views with .tables in `semloop sql`."
        if isinstance(exc, duckdb.IOException) or DAMAGED.search(str(exc)):
            todo = "If it is a file of the lake: `semloop maintain check`."
        raise ConfigError("\n".join(lines), todo) from None
    except RuntimeError as exc:
        # DuckDB raises this on Ctrl-C during a query.
        if str(exc) != "Query interrupted":
            raise
        # Otherwise its threads keep running, and dropping the result waits for them.
        con.interrupt()
        raise KeyboardInterrupt from None


def _with_position(con: "DuckDBPyConnection", query: str, text: str) -> list[str]:
    """Return the lines of an error, with the position in the query.

    DuckDB's relations, which print results in parts, leave the position out; EXPLAIN
    of the same query has it, and runs nothing.
    """
    import duckdb

    lines = [line for line in text.splitlines() if line.strip()]
    if any(line.startswith("LINE ") for line in lines):
        return lines
    try:
        con.execute(f"EXPLAIN\n{query}")
    except duckdb.Error as exc:
        found = [line for line in str(exc).splitlines() if line.strip()]
        if found[:1] == lines[:1]:
            # The query begins on the second line of the EXPLAIN.
            return [LINE_NUMBER.sub(_line_before, line) for line in found]
    return lines


def _line_before(line: re.Match[str]) -> str:
    return f"LINE {int(line[1]) - 1}"


def _shell(lake: Lake, storage: Storage, form: SqlFormat) -> None:
    if form is SqlFormat.PARQUET:
        msg = "The shell cannot print Parquet."
        raise ConfigError(msg, "Pass the query as an argument, with --output FILE.")
    session = _session(lake.connection, _history(storage))
    say(f"Lake {storage.root}\nType .help for help, .tables for a list of the views.")
    while True:
        try:
            line = session.prompt("semloop> ").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if line in {".quit", ".exit"}:
            return
        if line:
            _run_input(lake, line, form)


def _run_input(lake: Lake, line: str, form: SqlFormat) -> None:
    """Run one input of the shell; print its errors without leaving the shell."""
    try:
        if line == ".tables":
            print_rows(["view", "question"], list(lake.views().items()), Format.TABLE)
        elif line.startswith("."):
            say(SHELL_HELP)
        else:
            _run_query(lake, line, form, None)
    except SemLoopError as exc:
        note(exc.what)
    except KeyboardInterrupt:
        note("Interrupted.")


def _history(storage: Storage) -> "History":
    """Return a history file in a writable local lake, otherwise one in memory."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        file = storage.local_folder() / HISTORY_FILE
        file.touch(mode=0o600)
    except (LakeError, OSError):
        return InMemoryHistory()
    return FileHistory(str(file))


def _session(con: "DuckDBPyConnection", history: "History") -> "PromptSession[str]":
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter

    return PromptSession(
        history=history,
        completer=WordCompleter(completions(con), ignore_case=True),
        complete_while_typing=False,
        key_bindings=_enter_runs_complete_query(),
        multiline=True,
        prompt_continuation="     ... ",
    )


def completions(con: "DuckDBPyConnection") -> list[str]:
    """Return the words that the shell completes: keywords, views and columns."""
    rows = con.sql(
        "SELECT upper(keyword_name) FROM duckdb_keywords() UNION "
        "SELECT view_name FROM duckdb_views() WHERE NOT internal UNION "
        "SELECT column_name FROM duckdb_columns() WHERE NOT internal ORDER BY 1"
    ).fetchall()
    return [str(word) for (word,) in rows]


def _enter_runs_complete_query() -> "KeyBindings":
    from prompt_toolkit.filters import completion_is_selected
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    bindings = KeyBindings()

    @bindings.add("enter", filter=~completion_is_selected)
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.text.strip()
        if not text or text.startswith(".") or text.endswith(";"):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return bindings
