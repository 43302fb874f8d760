"""`semloop show`: a session as a timeline."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semloop.command.cli.lake_queries import (
    ARRIVAL_TIME,
    FAILED,
    LISTED_MAX,
    ORIGIN,
    TEXT_WITH_ROLE,
    fetch_rows,
    open_lake,
    resolve_id,
)
from semloop.command.cli.local_option import Local, in_zone
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_list
from semloop.command.terminal.output import Format, print_rows
from semloop.command.terminal.printing import console_of
from semloop.command.terminal.progress import spinner
from semloop.errors import ConfigError
from semloop.escaping import one_line, visible
from semloop.settings import load
from semloop.texts.shortened import shortened

if TYPE_CHECKING:
    from rich.console import Console

    from semloop.lake.lake import Lake

# Events shown at each end of a long session, and characters of each text: its
# beginning, its end and errors between them.
EVENTS_SHOWN = 250
TEXT_CHARS = 600
MORE = "--format json prints all."

# Feedback does not define start or end: it may arrive days later, from another clock.
SESSION = f"""
WITH arrived AS (
    SELECT *, {ARRIVAL_TIME} AS arrived FROM events
    WHERE session_id = $session AND namespace = $namespace
),
session AS (
    SELECT * EXCLUDE (arrived), epoch(ts - coalesce(
            min(ts) FILTER (type <> 'feedback') OVER (), min(ts) OVER ()
        )) AS since_start_s,
        row_number() OVER (ORDER BY arrived, {ORIGIN}) AS place
    FROM arrived
)
"""  # noqa: S608 - ours
SUMMARY = f"""{SESSION}
SELECT count(*) AS events,
    list_sort(list(DISTINCT agent)) AS agents,
    list_sort(list(DISTINCT user_id) FILTER (user_id IS NOT NULL)) AS users,
    list_sort(list(DISTINCT task) FILTER (task IS NOT NULL)) AS tasks,
    min(ts) FILTER (since_start_s = 0) AS start,
    coalesce(max(since_start_s) FILTER (type <> 'feedback'), 0) AS duration_s,
    count(*) FILTER (type = 'tool_call') AS tool_calls,
    count(*) FILTER (status = 'error') AS failed_calls,
    count(*) FILTER (type = 'error') AS errors,
    sum(credits_used) AS credits,
    sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
    list(outcome ORDER BY place) FILTER (type = 'completion') AS outcomes,
    arg_max(reward, place) FILTER (reward IS NOT NULL) AS reward,
    list(text ORDER BY place) FILTER (type = 'feedback') AS feedback
FROM session
"""  # noqa: S608 - ours
TIMELINE = f"""{SESSION}
SELECT place, since_start_s, ts, agent, type, duration_ms, {FAILED},
    {TEXT_WITH_ROLE}
FROM session WHERE place <= $first OR place > $last ORDER BY place
"""  # noqa: S608 - ours
EVENTS = f"""{SESSION}
SELECT since_start_s, * EXCLUDE (since_start_s, place) FROM session ORDER BY place
"""  # noqa: S608 - ours
NAMESPACES = """
SELECT namespace FROM events WHERE session_id = $session
GROUP BY ALL ORDER BY max(ingested_at) DESC, 1
"""
NEWEST = f"""
SELECT session_id FROM events WHERE namespace = coalesce($namespace, namespace)
GROUP BY ALL
ORDER BY max(ingested_at) DESC, max(kafka_ts) DESC, 1 LIMIT {LISTED_MAX}
"""  # noqa: S608 - ours


def show(
    session: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the session, or a prefix.")
    ],
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", help="Only in this namespace; needed if several have the id."
        ),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="table: timeline; json, csv: all events.")
    ] = Format.TABLE,
    local: Local = False,
) -> None:
    """Show a session: summary, timeline and outcome."""
    with open_lake(load()) as lake:
        with spinner("Querying ..."):
            key = resolve_session(lake, session, namespace)
            if form is Format.TABLE:
                summary, rows = query_session(lake, key)
        if form is not Format.TABLE:
            events = lake.sql(EVENTS, key)
            print_rows(events.columns, fetch_rows(events), form)
            return
    console = console_of(sys.stdout)
    start = in_zone(summary["start"], local=local)
    _print_summary(console, key, summary | {"start": start})
    console.print()
    several = len(summary["agents"]) > 1
    omitted = summary["events"] - len(rows)
    first = EVENTS_SHOWN if omitted else len(rows)
    _print_timeline(console, rows[:first], several=several, local=local)
    if omitted:
        console.print(f"  ... {omitted:,} events omitted; {MORE}")
        _print_timeline(console, rows[first:], several=several, local=local)
    elif any(len(row[-1]) > TEXT_CHARS for row in rows):
        console.print(f"Long texts are truncated; {MORE}")


def resolve_session(
    lake: "Lake", session: str, namespace: str | None
) -> dict[str, str]:
    """Return session and namespace, as parameters of the queries.

    Raises:
        ConfigError: there is no such session, or several namespaces have it.
    """
    within = {} if namespace is None else {"namespace": namespace}
    candidates = (
        resolve_id(lake, "events", "session_id", stored, "sessions", within=within)
        for stored in lake.pseudonyms(session)
    )
    found = next(filter(None, candidates), None)
    if found is None:
        raise _unknown(lake, session, namespace)
    if namespace is not None:
        return {"session": found, "namespace": namespace}
    names = [str(n) for (n,) in lake.sql(NAMESPACES, {"session": found}).fetchall()]
    if len(names) > 1:
        listed = ", ".join(visible(name) for name in names[:LISTED_MAX])
        end = ", ..." if len(names) > LISTED_MAX else "."
        msg = f"{len(names):,} namespaces have a session {found!r}: {listed}{end}"
        raise ConfigError(msg, f"Choose one: --namespace {shlex.quote(names[0])}.")
    return {"session": found, "namespace": names[0]}


def query_session(
    lake: "Lake", key: Mapping[str, str]
) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """Return the summary by column name, and the events to show."""
    result = lake.sql(SUMMARY, key)
    summary = dict(zip(result.columns, result.fetchall()[0], strict=True))
    ends = {"first": EVENTS_SHOWN, "last": summary["events"] - EVENTS_SHOWN}
    return summary, lake.sql(TIMELINE, {**key, **ends}).fetchall()


def _unknown(lake: "Lake", session: str, namespace: str | None) -> ConfigError:
    rows = lake.sql(NEWEST, {"namespace": namespace}).fetchall()
    newest = [one_line(str(name)) for (name,) in rows]
    if not newest and namespace is not None:
        msg = f"There are no events in namespace {namespace!r}."
        return ConfigError(
            msg, "`semloop sql` lists them: SELECT DISTINCT namespace FROM events."
        )
    if not newest:
        msg = "The lake has no events yet."
        return ConfigError(msg, "Check the flows with `semloop status`.")
    where = "" if namespace is None else f" in namespace {namespace!r}"
    msg = f"There is no session {session!r}{where}."
    return ConfigError(msg, f"The newest sessions are: {', '.join(newest)}.")


def _print_summary(
    console: "Console", key: Mapping[str, str], values: Mapping[str, Any]
) -> None:
    from rich.table import Table
    from rich.text import Text

    calls = f"{values['tool_calls']:,}"
    if values["failed_calls"]:
        calls += f", {values['failed_calls']:,} failed"
    tokens = [values["input_tokens"], values["output_tokens"]]
    fields = {
        "session": key["session"],
        "agent": _names(values["agents"]),
        "user": _names(values["users"]),
        "namespace": key["namespace"],
        "task": _names(values["tasks"]),
        "start": values["start"].isoformat(" ", "seconds"),
        "duration": format_duration(values["duration_s"]),
        "events": f"{values['events']:,}",
        "tool calls": calls,
        "errors": f"{values['errors']:,}",
        "credits": f"{round(values['credits'] or 0, 6):,}",
        "tokens": "{:,} in, {:,} out".format(*(t or 0 for t in tokens)),
        "outcome": _last_values(values["outcomes"], "none yet"),
        "reward": "" if values["reward"] is None else f"{values['reward']:g}",
        "feedback": _last_values(values["feedback"], ""),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value:
            table.add_row(Text(name), Text(one_line(value)))
    console.print(table)


def _names(values: Sequence[str] | None) -> str:
    """Join the first few values, each cut to a length that a screen can show."""
    return format_list([_cut(value) for value in values or ()])


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}…"


def _last_values(values: Sequence[str] | None, none: str) -> str:
    """Join the last few values; the last outcome is the valid one."""
    if not values:
        return none
    before = len(values) - LISTED_MAX
    more = f"{before:,} earlier, " if before > 0 else ""
    return more + ", ".join(values[-LISTED_MAX:])


def _print_timeline(
    console: "Console", rows: Sequence[Sequence[Any]], *, several: bool, local: bool
) -> None:
    """Print one event per row; long texts wrap within their column."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for _, since_start_s, ts, agent, kind, duration_ms, failed, content in rows:
        since = format_duration(since_start_s)
        text = Text(f"{one_line(agent)} " if several else "", "dim")
        text.append(kind, "bold")
        if duration_ms is not None:
            text.append(f" ({format_duration(duration_ms / 1_000)})")
        shown = one_line(shortened(content, TEXT_CHARS))
        text.append(f"  {shown}", "" if not failed else "red")
        table.add_row(
            Text("!" if failed else " ", "bold red"),
            Text(since if since.startswith("-") else f"+{since}"),
            Text(in_zone(ts, local=local).strftime("%H:%M:%S"), "dim"),
            text,
        )
    console.print(table)
