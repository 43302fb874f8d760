"""Filters of a recall as conditions in Lance's SQL."""

from dataclasses import dataclass
from datetime import datetime

from semloop.lake.recall.query_parser import STATUS_FILTERS, ParsedQuery
from semloop.lake.recall.request import RecallRequest
from semloop.sql_text import quoted

# Argument of an equality filter that selects hits -> column.
SELECTING = {"agent": "agent", "session": "session_id", "kind": "kind"}
# Maximum episodes listed in a condition; of more, the rows are filtered afterwards.
EPISODES_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one recall; an empty text is no condition.

    Attributes:
        wall: what any row must satisfy that is shown or counted.
        hits: what a row must satisfy to be a hit, the wall included.
    """

    wall: str
    hits: str


def conditions_of(
    request: RecallRequest,
    parsed: ParsedQuery,
    of_user: list[str] | None,
    with_reward: list[str] | None,
) -> Conditions:
    """Return the conditions of a request.

    A row without a user is behind the wall of a user if its episode names no other one,
    unless the user has more than `EPISODES_MAX` such episodes.

    Args:
        request: the arguments.
        parsed: the filters found in the query.
        of_user: ids of the episodes that name only the request's user; None if there
            are more than `EPISODES_MAX`.
        with_reward: ids of the episodes with enough reward; None for no condition.
    """
    wall = []
    if request.namespace is not None:
        wall.append(f"namespace = {literal(request.namespace)}")
    if request.user is not None:
        wall.append(_of_user(request.user, of_user))
    hits = [
        f"{column} = {literal(getattr(request, name))}"
        for name, column in SELECTING.items()
        if getattr(request, name) is not None
    ]
    if parsed.status:
        hits.append(STATUS_FILTERS[parsed.status])
    starts = (request.since, parsed.since)
    hits += [f"ts >= {timestamp_literal(t)}" for t in starts if t]
    if parsed.until:
        hits.append(f"ts < {timestamp_literal(parsed.until)}")
    if with_reward is not None:
        hits.append(one_of("episode_id", with_reward))
    return Conditions(" AND ".join(wall), " AND ".join([*wall, *hits]))


def first_parts(where: str) -> str:
    """Restrict a condition to the first parts of events.

    A long text has hundreds of parts, and those that match are found by the searches.
    """
    return f"part = 0 AND ({where})" if where else "part = 0"


def literal(text: str) -> str:
    """Quote a text for Lance's SQL, whose only escape in literals is `''`."""
    return quoted(text)


def timestamp_literal(moment: datetime) -> str:
    """Format a point in time for Lance's SQL."""
    return f"timestamp '{moment.isoformat()}'"


def one_of(column: str, values: list[str]) -> str:
    """Return the condition that a column has one of these values."""
    if not values:
        return "false"
    return f"{column} IN ({', '.join(literal(value) for value in values)})"


def _of_user(user: str, episodes: list[str] | None) -> str:
    own = f"user_id = {literal(user)}"
    # Without the list, rows of other users that name none would fill the searches.
    if not episodes:
        return own
    return f"({own} OR (user_id IS NULL AND {one_of('episode_id', episodes)}))"
