"""`semloop sql`: one query, a script from stdin, or a shell."""

import os
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

from semloop.command.terminal.output import Format, Row, print_rows
from semloop.errors import ConfigError, LakeError, SemLoopError
from semloop.lake.lake import Lake
from semloop.settings import load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings

# Rows that are held as Python values at a time.
FETCH_ROWS = 2_000
HISTORY_FILE = "sql_history"
SHELL_HELP = """\
End a query with ; and press Enter. Ctrl-C clears the line, Ctrl-D leaves.
.tables   what can be asked; DESCRIBE name; shows columns
FROM recall('refund refused', k := 5);   finds what happened that was like this
.help     this text
.quit     leave"""


class SqlFormat(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="DuckDB's SQL. Without it: standard input, or a shell."),
    ] = None,
    form: Annotated[
        SqlFormat | None,
        typer.Option("--format", help="table, if --output has no known suffix."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the answer.")
    ] = None,
    print_init: Annotated[
        bool,
        typer.Option(
            "--print-init", help="Print what lets a plain DuckDB 1.5.5 open this lake."
        ),
    ] = False,
) -> None:
    """Ask the lake in SQL."""
    form = form or _format_of(output)
    if form is SqlFormat.PARQUET and output is None and sys.stdout.isatty():
        msg = "Parquet is not for a terminal."
        raise ConfigError(msg, "Add --output FILE or redirect standard output.")
    settings = load()
    with Lake(settings=settings) as lake:
        if print_init:
            _print_init(lake)
        elif query is not None:
            _answer(lake, query, form, output)
        elif not sys.stdin.isatty():
            _answer(lake, sys.stdin.read(), form, output)
        else:
            _shell(lake, Storage.of(settings), form)


def _format_of(output: Path | None) -> SqlFormat:
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    return SqlFormat(suffix) if suffix in set(SqlFormat) else SqlFormat.TABLE


def _print_init(lake: Lake) -> None:
    statements = lake.init_sql()
    if any("credential_chain" in statement for statement in statements):
        print("-- DuckDB reads AWS_* and the profiles by itself, as they are then.")
    if any("ca_cert_file" in statement for statement in statements):
        print("-- The delta extension knows that CA by the variable SSL_CERT_FILE.")
    print("-- recall() and embed() exist in `semloop sql` and in Lake only.")
    for statement in statements:
        print(f"{statement};")


def _answer(lake: Lake, query: str, form: SqlFormat, output: Path | None) -> None:
    if not query.strip():
        msg = "The query is empty."
        raise ConfigError(msg, "Try: semloop sql 'SELECT count(*) FROM events'")
    with _told_in_one_line(lake.connection):
        relation = lake.sql(query)
        if form is SqlFormat.PARQUET:
            _write_parquet(relation, output)
        elif output is None:
            _print(relation, form)
        else:
            _replaced(output, lambda draft: _print_to(draft, relation, form))


def _print(relation: "DuckDBPyRelation", form: SqlFormat) -> None:
    # An error of the first rows comes before any output.
    first = relation.fetchmany(FETCH_ROWS)
    rows = chain(first, _rest(relation)) if first else iter(())
    print_rows(relation.columns, rows, Format(form))


def _rest(relation: "DuckDBPyRelation") -> Iterator[Row]:
    while rows := relation.fetchmany(FETCH_ROWS):
        yield from rows


def _print_to(draft: Path, relation: "DuckDBPyRelation", form: SqlFormat) -> None:
    with draft.open("w", encoding="utf-8", newline="") as file:
        print_rows(relation.columns, _rest(relation), Format(form), file)


def _write_parquet(relation: "DuckDBPyRelation", output: Path | None) -> None:
    def write(path: Path) -> None:
        relation.write_parquet(str(path), compression="zstd")

    if output is not None:
        _replaced(output, write)
        return
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "answer.parquet")
        write(draft)
        with draft.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


def _replaced(output: Path, write: Callable[[Path], None]) -> None:
    """Write a file as a whole or not at all."""
    draft = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        write(draft)
        draft.replace(output)
    except OSError as exc:
        msg = f"{output} cannot be written: {exc.strerror}."
        raise ConfigError(msg, "Give --output a file in a folder of yours.") from None
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _told_in_one_line(con: "DuckDBPyConnection") -> Iterator[None]:
    """DuckDB's errors as one line what and one line what to do."""
    import duckdb

    try:
        yield
    except duckdb.Error as exc:
        lines = str(exc).splitlines() or [type(exc).__name__]
        hints = [s for s in lines[1:] if s.startswith(("Did you mean", "Candidate"))]
        todo = hints[0] if hints else "`semloop sql` is a shell: .tables helps there."
        raise ConfigError(lines[0], todo) from None
    except RuntimeError as exc:
        # DuckDB's form of a Ctrl-C that came while it was at work.
        if str(exc) != "Query interrupted":
            raise
        # Its threads go on all the same, and whoever drops the answer waits for them.
        con.interrupt()
        raise KeyboardInterrupt from None


def _shell(lake: Lake, storage: Storage, form: SqlFormat) -> None:
    if form is SqlFormat.PARQUET:
        msg = "The shell does not print Parquet."
        raise ConfigError(msg, "Give the query as an argument, with --output FILE.")
    session = _session(lake.connection, _history(storage))
    print(f"The lake {storage.root}. .help explains, .tables lists what can be asked.")
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
            _one(lake, line, form)


def _one(lake: Lake, line: str, form: SqlFormat) -> None:
    """Do one thing in the shell; whatever goes wrong, the shell goes on."""
    try:
        if line == ".tables":
            print_rows(["view", "question"], list(lake.views().items()), Format.TABLE)
        elif line.startswith("."):
            print(SHELL_HELP)
        else:
            _answer(lake, line, form, None)
    except SemLoopError as exc:
        print(exc.what, file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)


def _history(storage: Storage) -> "History":
    """Kept in the folder of a local lake that we may write, else forgotten."""
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
        completer=WordCompleter(words_of(con), ignore_case=True),
        complete_while_typing=False,
        key_bindings=_enter_runs_what_is_whole(),
        multiline=True,
        prompt_continuation="     ... ",
    )


def words_of(con: "DuckDBPyConnection") -> list[str]:
    """What the shell completes: keywords, views and columns."""
    rows = con.sql(
        "SELECT upper(keyword_name) FROM duckdb_keywords() UNION "
        "SELECT view_name FROM duckdb_views() WHERE NOT internal UNION "
        "SELECT column_name FROM duckdb_columns() WHERE NOT internal ORDER BY 1"
    ).fetchall()
    return [str(word) for (word,) in rows]


def _enter_runs_what_is_whole() -> "KeyBindings":
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
