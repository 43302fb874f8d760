"""Rows of episodes that `Sessions` produces from a few events."""

from typing import Any

from operators.episodes.sessions import FeedResult, Sessions
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import SMALL, Row, events_table


def feed(sessions: Sessions, *events: Row, first: int = 0) -> FeedResult:
    """Feed events at consecutive offsets, as one batch."""
    return sessions.feed(events_table(*events, first=first))


def rows_of(*events: Row, settings: EpisodeSettings = SMALL) -> list[Row]:
    """Return the rows that one batch produces."""
    rows: list[Row] = feed(Sessions(settings), *events).revisions.to_pylist()
    return rows


def values(rows: list[Row], *names: str) -> list[tuple[Any, ...]]:
    """Return these columns of each row."""
    return [tuple(row[name] for name in names) for row in rows]
