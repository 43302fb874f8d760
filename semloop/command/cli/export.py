"""`semloop export`: sessions in a format of other tools."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from semloop.command.cli.lake_queries import (
    ARRIVAL_TIME,
    FETCH_ROWS,
    ORIGIN,
    open_lake,
    require_choice,
)
from semloop.command.cli.show import resolve_session
from semloop.command.cli.since_option import SINCE_HELP, parse_since
from semloop.command.terminal.figures import format_count
from semloop.command.terminal.printing import note, say
from semloop.errors import ConfigError
from semloop.settings import load

if TYPE_CHECKING:
    from semloop.lake.lake import Lake

FORMATS = ("atif",)
EVENTS = f"""
WITH arrived AS (
    SELECT *, {ARRIVAL_TIME} AS arrived FROM events
    WHERE session_id = $session AND namespace = $namespace
)
SELECT type, ts, agent, payload::VARCHAR, agent_version, namespace, user_id, task, tags
FROM arrived ORDER BY arrived, {ORIGIN}
"""  # noqa: S608 - ours
SESSIONS = """
SELECT session_id, namespace FROM events
WHERE ts >= $since AND agent = coalesce($agent, agent)
    AND namespace = coalesce($namespace, namespace)
GROUP BY ALL ORDER BY min(ts), 1, 2
"""


def export(
    session: Annotated[
        str, typer.Argument(metavar="[ID]", help="Id of a session, or a prefix.")
    ] = "",
    since: Annotated[
        str, typer.Option(help=f"All sessions with events. {SINCE_HELP}")
    ] = "",
    agent: Annotated[
        str | None, typer.Option(help="With --since: only of this agent.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Only in this namespace.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="atif: one JSON document a line.")
    ] = "atif",
) -> None:
    """Print sessions as trajectories, which other tools and `import` can read."""
    require_choice(form, FORMATS, "format")
    if bool(session) == bool(since):
        msg = "Give the id of a session, or --since."
        raise ConfigError(msg, "Example: semloop export --since 7d > sessions.jsonl")
    at = parse_since(since) if since else None
    with open_lake(load()) as lake:
        if at is None:
            keys = [resolve_session(lake, session, namespace)]
        else:
            given = {"since": at, "agent": agent, "namespace": namespace}
            rows = lake.sql(SESSIONS, given).fetchall()
            keys = [{"session": name, "namespace": own} for name, own in rows]
        found = sum(_print(lake, key) for key in keys)
    if not found:
        msg = "No session has a message or a call."
        raise ConfigError(msg, "`semloop sql` shows what there is: FROM sessions.")
    if found < len(keys):
        count = len(keys) - found
        which = format_count(count, "session")
        verb = "is" if count == 1 else "are"
        note(f"{which} without messages and calls {verb} left out.")


def _print(lake: "Lake", key: dict[str, str]) -> bool:
    """Print a session as one line; False if it has no step."""
    from sources.transcripts.atif_writer import HEAD, StoredEvent, trajectory_of

    rows = lake.sql(EVENTS, key)

    def stored() -> Iterator[StoredEvent]:
        while found := rows.fetchmany(FETCH_ROWS):
            for kind, ts, agent, payload, version, *head in found:
                named = dict(zip(HEAD, head, strict=True))
                yield StoredEvent(kind, ts, agent, payload, version, named)

    try:
        found = trajectory_of(key["session"], stored())
    except ValueError:
        return False
    say(msgspec.json.encode(found).decode())
    return True
