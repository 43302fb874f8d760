"""`semloop dlq park` and `dlq resolve`: dead letters that are not to be replayed."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from schemas.replay import Action, ActionKind, origin_text
from semloop.command.cli.dlq_selection import (
    AgentOption,
    Ids,
    ImportOption,
    ReasonOption,
    Selection,
    SinceOption,
    WhereOption,
    add_ids,
    selection,
    where_errors,
)
from semloop.command.cli.lake_queries import open_lake
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import spinner
from semloop.errors import ConfigError
from semloop.settings import load
from semloop.storage.location import Storage

# Rows of a commit.
BATCH = 10_000
QUERY = """
SELECT id, topic_id, kafka_partition, kafka_offset, attempts
FROM dead_letters WHERE {where}
"""

All = Annotated[bool, typer.Option("--all", help="All that are not resolved.")]
Note = Annotated[str | None, typer.Option("--note", help="Why; `dlq show` prints it.")]


def park(
    ids: Ids = None,
    reason: ReasonOption = None,
    agent: AgentOption = None,
    since: SinceOption = None,
    where: WhereOption = None,
    import_id: ImportOption = None,
    all_: All = False,
    note: Note = None,
) -> None:
    """Park dead letters: `dlq replay` takes them only with `--state parked`."""
    found = selection(
        states=["open", "replayed"], reason=reason, agent=agent,
        since=since, where=where, import_id=import_id,
    )  # fmt: skip
    count = _act(ActionKind.PARKED, found, ids, all_=all_, note=note)
    say(f"Dead letters parked: {count:,}." if count else "No dead letters match.")


def resolve(
    ids: Ids = None,
    reason: ReasonOption = None,
    agent: AgentOption = None,
    since: SinceOption = None,
    where: WhereOption = None,
    import_id: ImportOption = None,
    all_: All = False,
    note: Note = None,
) -> None:
    """Resolve dead letters that no one needs, such as those of a wrong import."""
    found = selection(
        states=["open", "replayed", "parked"], reason=reason, agent=agent,
        since=since, where=where, import_id=import_id,
    )  # fmt: skip
    count = _act(ActionKind.RESOLVED, found, ids, all_=all_, note=note)
    say(f"Dead letters resolved: {count:,}." if count else "No dead letters match.")


def _act(
    kind: ActionKind,
    found: Selection,
    ids: list[str] | None,
    *,
    all_: bool,
    note: str | None,
) -> int:
    """Append the action for each selected dead letter; return their number."""
    from sinks.dead_letter_actions import append_actions

    # One condition is that of the states.
    if not (ids or len(found.conditions) > 1 or all_):
        msg = "No dead letters are selected."
        raise ConfigError(msg, "Give ids, options such as --reason, or --all.")
    settings = load()
    count = 0
    with open_lake(settings) as lake, spinner("Querying ..."):
        add_ids(found, lake, ids)
        query = QUERY.format(where=found.where)
        with where_errors():
            result = lake.sql(query, found.values)
            while rows := result.fetchmany(BATCH):
                # It holds until the next attempt.
                actions = [
                    Action(letter, origin_text(*origin), kind, attempts, note=note)
                    for letter, *origin, attempts in rows
                ]
                retry_s = settings.commits.storage_retry_s
                now = datetime.now(UTC)
                append_actions(Storage.of(settings), actions, now, retry_s)
                count += len(actions)
    return count
