"""Filters of a recall as conditions on memories."""

from dataclasses import dataclass

from semloop.lake.recall.filters import (
    Either,
    Every,
    Filter,
    FirstPart,
    IsNull,
    OneOf,
    Since,
    Until,
    is_equal,
)
from semloop.lake.recall.query_parser import STATUS_FILTERS, ParsedQuery
from semloop.lake.recall.request import RecallRequest

# Argument of an equality filter that selects hits -> column.
SELECTING = {"agent": "agent", "session": "session_id", "kind": "kind"}
# Maximum episodes listed in a condition; of more, the rows are filtered afterwards.
EPISODES_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one recall.

    Attributes:
        wall: what any row must satisfy that is shown or counted.
        hits: what a row must satisfy to be a hit, the wall included.
    """

    wall: Filter
    hits: Filter


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
    wall: list[Filter] = []
    if request.namespace is not None:
        wall.append(is_equal("namespace", request.namespace))
    if request.user is not None:
        wall.append(_of_user(request.user, of_user))
    hits: list[Filter] = [
        is_equal(column, getattr(request, name))
        for name, column in SELECTING.items()
        if getattr(request, name) is not None
    ]
    if parsed.status:
        hits.append(STATUS_FILTERS[parsed.status])
    starts = (request.since, parsed.since)
    hits += [Since(start) for start in starts if start]
    if parsed.until:
        hits.append(Until(parsed.until))
    if with_reward is not None:
        hits.append(OneOf("episode_id", tuple(with_reward)))
    return Conditions(Every(tuple(wall)), Every((*wall, *hits)))


def first_parts(where: Filter) -> Filter:
    """Restrict a condition to the first parts of events."""
    return Every((FirstPart(), where))


def _of_user(user: str, episodes: list[str] | None) -> Filter:
    own = is_equal("user_id", user)
    # Without the list, rows of other users that name none would fill the searches.
    if not episodes:
        return own
    of_episode = OneOf("episode_id", tuple(episodes))
    return Either(own, Every((IsNull("user_id"), of_episode)))
