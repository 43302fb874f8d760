"""The time zone in which a command prints times for people."""

from datetime import UTC, datetime
from typing import Annotated

import typer

Local = Annotated[
    bool,
    typer.Option(
        "--local", help="table: times in the time zone of the terminal, not in UTC."
    ),
]


def in_zone(moment: datetime, *, local: bool) -> datetime:
    """Return a moment in UTC, or in the time zone of the terminal."""
    return moment.astimezone(None if local else UTC)
