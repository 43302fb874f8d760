"""`semloop recall`: search of the memories."""

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.cli.lake_queries import open_lake
from semloop.command.cli.local_option import Local
from semloop.command.terminal.output import Format, print_rows
from semloop.command.terminal.printing import console_of, note, say
from semloop.settings import load

if TYPE_CHECKING:
    import pyarrow as pa

NO_MEMORIES = (
    "There are no memories yet: the flow `memory` writes them (`semloop up` runs it)."
)
NO_MATCHES = (
    "No memory matches these filters; --no-words searches for the words instead."
)
TOO_LONG = "The best memory has more tokens than --max-tokens: raise it."


class RecallFormat(StrEnum):
    """Output format of hits."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PROMPT = "prompt"


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
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            min=1,
            help="prompt, json, csv: only the best results with this many tokens in "
            "all, estimated.",
        ),
    ] = None,
    unfold: Annotated[
        bool,
        typer.Option(
            "--all", help="table: show near-equal results, too, which are folded."
        ),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="table: show the parts of each score.")
    ] = False,
    form: Annotated[
        RecallFormat,
        typer.Option(
            "--format",
            help="table: for people; json, csv: all columns; prompt: for a model.",
        ),
    ] = RecallFormat.TABLE,
    local: Local = False,
) -> None:
    """Search the memories by meaning and by keywords."""
    from semloop.command.cli.near_equal import fetch_places
    from semloop.lake.recall.hits import UNDERSTOOD

    with open_lake(load()) as lake:

        def search(count: int) -> "pa.Table":
            return lake.recall(
                query, count, agent=agent, namespace=namespace, session=session,
                user=user, kind=kind, since=since, min_reward=min_reward,
                half_life=half_life, words=words,
            )  # fmt: skip

        places: list[list[int]] = []
        if form is RecallFormat.TABLE:
            found, places = fetch_places(search, k)
        else:
            found = search(k)
        if not found.num_rows and not lake.has_memories():
            note(NO_MEMORIES)
    if filters := (found.schema.metadata or {}).get(UNDERSTOOD):
        note(f"Filters: {filters.decode()}.")
        if not found.num_rows:
            note(NO_MATCHES)
    match form:
        case RecallFormat.TABLE:
            terms = _terms(query, words=words)
            _print_table(
                found, places, terms, unfold=unfold, explain=explain, local=local
            )
        case RecallFormat.PROMPT:
            _print_prompt(found, max_tokens)
        case _:
            _print_rows(found, Format(form), max_tokens)


def _print_table(
    found: "pa.Table",
    places: list[list[int]],
    terms: list[str],
    *,
    unfold: bool,
    explain: bool,
    local: bool,
) -> None:
    from semloop.command.cli.recall_report import print_hits

    hits = found.to_pylist()
    in_places = [[hits[row] for row in place] for place in places]
    console = console_of(sys.stdout)
    print_hits(console, in_places, terms, unfold=unfold, explain=explain, local=local)


def _print_prompt(found: "pa.Table", max_tokens: int | None) -> None:
    from semloop.lake.prompt import MAX_TOKENS, as_prompt

    prompt = as_prompt(found, max_tokens or MAX_TOKENS)
    if found.num_rows and not prompt:
        note(TOO_LONG)
    say(prompt, end="")


def _print_rows(found: "pa.Table", form: Format, max_tokens: int | None) -> None:
    from semloop.lake.tokens import within_tokens

    shown = within_tokens(found, max_tokens)
    if found.num_rows and not shown.num_rows:
        note(TOO_LONG)
    rows = (tuple(map(_printable, row.values())) for row in shown.to_pylist())
    print_rows(shown.column_names, rows, form)


def _terms(query: str, *, words: bool) -> list[str]:
    """Return the terms of a query without the words that became filters."""
    from semloop.lake.recall.query_parser import parse_query
    from semloop.lake.recall.words import query_terms

    text = parse_query(query, datetime.now(UTC)).text if words else query
    return query_terms(text)


def _printable(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
