"""`semloop dlq replay`: produces dead letters again, repaired if asked for."""

from pathlib import Path
from typing import Annotated

import typer

from semloop.command.cli.dlq_selection import (
    STATES,
    AgentOption,
    Ids,
    ImportOption,
    ReasonOption,
    SinceOption,
    WhereOption,
    selection,
)
from semloop.command.cli.lake_queries import require_choice
from semloop.settings import load


def replay(
    ids: Ids = None,
    reason: ReasonOption = None,
    agent: AgentOption = None,
    since: SinceOption = None,
    where: WhereOption = None,
    import_id: ImportOption = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", help="open (default), replayed, parked or resolved; repeatable."
        ),
    ] = None,
    transform: Annotated[
        Path | None,
        typer.Option(
            "--transform",
            metavar="FILE.py",
            help="File with transform(record), which returns the repaired record.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.001, help="Maximum records per second."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be done.")
    ] = False,
) -> None:
    """Produce dead letters again; those that would fail again are left alone."""
    from semloop.command.cli.dlq_replaying import replay_letters
    from semloop.command.cli.transform_file import load_transform

    for name in state or ():
        # A replay that failed is not replayed itself: its original is.
        require_choice(name, STATES[:-1], "state")
    settings = load()
    function = None if transform is None else load_transform(transform)
    found = selection(
        states=state or ["open"],
        reason=reason,
        agent=agent,
        since=since,
        where=where,
        import_id=import_id,
    )
    replay_letters(settings, found, ids or [], function, rate=rate, dry_run=dry_run)
