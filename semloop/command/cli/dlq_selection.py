"""Which dead letters a command of `semloop dlq` works on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import typer

from schemas.dead_letter import Reason
from semloop.command.cli.lake_queries import require_choice, resolve_id
from semloop.command.cli.since_option import SINCE_HELP, parse_since
from semloop.errors import ConfigError
from semloop.event import IMPORT_HEADER
from semloop.lake.lake import Lake

# Minimum length of an id prefix.
ID_CHARS_MIN = 4
WHERE_EXAMPLE = """Example: --where "agent = 'booker' AND detail LIKE '%type%'"."""
STATES = ("open", "replayed", "parked", "resolved", "attempt")

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Ids of dead letters, or prefixes."),
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Only this reason, for example not_json.")
]
AgentOption = Annotated[str | None, typer.Option("--agent", help="Only this agent.")]
SinceOption = Annotated[str | None, typer.Option("--since", help=SINCE_HELP)]
WhereOption = Annotated[
    str | None,
    typer.Option("--where", help="Only those that this SQL condition is true for."),
]
ImportOption = Annotated[
    str | None,
    typer.Option("--import", help="Only those of this import; it printed its id."),
]


@dataclass
class Selection:
    """A condition in SQL on the view `dead_letters`, and its parameters."""

    conditions: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The condition; one part of it is that of the states."""
        return " AND ".join(self.conditions)

    def add(self, condition: str, **values: object) -> None:
        """Add a condition with its parameters, which it names as `$name`."""
        self.conditions.append(condition)
        self.values |= values


def selection(
    *,
    states: Sequence[str],
    reason: str | None = None,
    agent: str | None = None,
    since: str | None = None,
    where: str | None = None,
    import_id: str | None = None,
) -> Selection:
    """Return the condition of states and options; one that is None selects all.

    Raises:
        ConfigError: a value is not one of the possible ones.
    """
    found = Selection()
    for state in states:
        require_choice(state, STATES, "state")
    found.add("list_contains($states, state)", states=list(states))
    if reason is not None:
        require_choice(reason, list(Reason), "reason")
        found.add("reason = $reason", reason=reason)
    if agent is not None:
        # A name that is private is stored as its pseudonym.
        found.add("list_contains(pseudonyms($agent), agent)", agent=agent)
    if since is not None:
        found.add("ingested_at >= $since", since=parse_since(since))
    if import_id is not None:
        header = msgspec.json.encode([IMPORT_HEADER, import_id]).decode()
        found.add("contains(headers, $header)", header=header)
    if where is not None:
        found.add(f"({_one_condition(where)}\n)")
    return found


def _one_condition(where: str) -> str:
    """Return a condition of a user if it stays within its parentheses."""
    import duckdb

    with where_errors():
        parsed = duckdb.extract_statements(f"SELECT 1 WHERE ({where}\n)")
        alone = duckdb.extract_statements(f"SELECT {where}\n")
    if len(parsed) != 1 or len(alone) != 1 or parsed[0].named_parameters:
        msg = "--where takes one condition, without `;` and without parameters."
        raise ConfigError(msg, WHERE_EXAMPLE)
    return where


@contextmanager
def where_errors() -> Iterator[None]:
    """Raise what DuckDB finds wrong with a condition of a user, on one line.

    Without the query, of which the user wrote only the condition.
    """
    import duckdb

    try:
        yield
    except (duckdb.ProgrammingError, duckdb.DataError) as error:
        text = " ".join(str(error).partition("\nLINE ")[0].split())
        msg = f"--where is not a condition in SQL: {text}"
        raise ConfigError(msg, WHERE_EXAMPLE) from None


def letter_id(lake: Lake, prefix: str) -> str:
    """Return the id of the only dead letter whose id begins with a prefix.

    Raises:
        ConfigError: no id begins with it, or several do, or it is too short.
    """
    found = resolve_id(lake, "dead_letters", "id", prefix, "dead letters")
    if found is not None and (len(prefix) >= ID_CHARS_MIN or found == prefix):
        return found
    msg = f"There is no dead letter {prefix!r}."
    if found is not None:
        msg = f"{prefix!r} is too short to identify a dead letter."
    todo = f"Give at least {ID_CHARS_MIN} characters of an id from "
    raise ConfigError(msg, f"{todo}`semloop dlq ls`.")


def add_ids(found: Selection, lake: Lake, ids: Sequence[str] | None) -> None:
    """Select only these, if there are any.

    Raises:
        ConfigError: an id is unknown.
    """
    if ids:
        found.add(
            "list_contains($ids, id)", ids=[letter_id(lake, prefix) for prefix in ids]
        )
