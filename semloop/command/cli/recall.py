"""`semloop recall`: search of the memories."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.cli.lake_queries import one_line, open_lake
from semloop.command.terminal.output import Format, console_of, print_rows
from semloop.settings import load

if TYPE_CHECKING:
    import pyarrow as pa

# Columns of the table format; json and csv have all columns.
SHOWN = ("rank", "score", "text", "reward", "outcome", "session_id", "ts")
# Width of the space between two columns of a table.
GAP_CHARS = 3
TEXT_CHARS_MIN = 30

NO_MEMORIES = (
    "There are no memories yet: the flow `memory` writes them (`semloop up` runs it)."
)
NO_MATCHES = (
    "No memory matches these filters; --no-words searches for the words instead."
)


def recall(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="What to find, in natural language.")
    ],
    k: Annotated[
        int, typer.Option("-k", help="Maximum number of results, up to 1,000.")
    ] = 10,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Only this agent.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", help="Only this namespace.")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", help="Only the session with this id.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only this user.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only this kind: event or episode.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only since this age (90m, 24h) or timestamp.")
    ] = None,
    min_reward: Annotated[
        float | None,
        typer.Option(help="Only closed episodes with at least this reward."),
    ] = None,
    half_life: Annotated[
        str | None, typer.Option(help="Age at which a score is halved: 24h, 7d.")
    ] = None,
    words: Annotated[
        bool,
        typer.Option(
            "--words/--no-words", help="Use time and status words as filters."
        ),
    ] = True,
    form: Annotated[
        Format, typer.Option("--format", help="Output format.")
    ] = Format.TABLE,
) -> None:
    """Search the memories by meaning and by keywords."""
    with open_lake(load()) as lake:
        found = lake.recall(
            query, k, agent=agent, namespace=namespace, session=session, user=user,
            kind=kind, since=since, min_reward=min_reward, half_life=half_life,
            words=words,
        )  # fmt: skip
        if not found.num_rows and not lake.has_memories():
            print(NO_MEMORIES, file=sys.stderr)
    if filters := (found.schema.metadata or {}).get(b"semloop.understood"):
        print(f"Filters: {filters.decode()}.", file=sys.stderr)
        if not found.num_rows:
            print(NO_MATCHES, file=sys.stderr)
    if form is Format.TABLE:
        found = _for_people(found)
    rows = (tuple(map(_printable, row.values())) for row in found.to_pylist())
    print_rows(found.column_names, rows, form)


def _for_people(found: "pa.Table") -> "pa.Table":
    """Return the main columns, with texts cut to the width of the terminal."""
    import pyarrow as pa

    scores = [round(score, 2) for score in found["score"].to_pylist()]
    columns = {name: found[name] for name in SHOWN} | {
        "score": pa.array(scores, pa.float64()),
        "ts": found["ts"].cast(pa.timestamp("s", "UTC"), safe=False),
    }
    others = (_chars(name, columns[name]) for name in SHOWN if name != "text")
    room = max(console_of(sys.stdout).width - sum(others) - GAP_CHARS, TEXT_CHARS_MIN)
    texts = [_cut(text, room) for text in found["text"].to_pylist()]
    columns["text"] = pa.array(texts, pa.string())
    names = ["session" if name == "session_id" else name for name in SHOWN]
    return pa.table(columns).rename_columns(names)


def _chars(name: str, column: "pa.ChunkedArray") -> int:
    values = (str(value) for value in column.to_pylist() if value is not None)
    return max(len(name), *map(len, values), 0) + GAP_CHARS


def _cut(text: str, chars: int) -> str:
    line = one_line(text)
    return line if len(line) <= chars else f"{line[: chars - 1]}…"


def _printable(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
