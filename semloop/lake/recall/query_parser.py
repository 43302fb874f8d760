"""Rules that turn time and status words of a query into filters.

The rules are few and narrow: a question about content must not change, and the filters
are shown with the result. The words that match a rule are removed from the query, and
filler words around them too, but only if a rule matched.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from semloop.lake.recall.filters import Either, Every, Filter, is_equal

CALL, EPISODE = is_equal("type", "tool_call"), is_equal("kind", "episode")
FAILED_CALL = Every((CALL, is_equal("status", "error")))
# Status filter -> condition on memories.
STATUS_FILTERS: Mapping[str, Filter] = {
    "tool calls that failed": FAILED_CALL,
    "tool calls that succeeded": Every((CALL, is_equal("status", "success"))),
    "errors and failed tool calls": Either(is_equal("type", "error"), FAILED_CALL),
    "episodes that failed": Every((EPISODE, is_equal("outcome", "failure"))),
    "episodes that succeeded": Every((EPISODE, is_equal("outcome", "success"))),
}

FILLER = r"(?:(?:please|show\s+me|list|what\s+were|all|the)\b\s*)*"
END = r"[\s?.!]*$"
EPISODES = r"\s+(?:episodes|sessions|runs|tasks)\b"

STATUS_PATTERNS = (
    (
        r"\b(?:failed|failing|unsuccessful|broken)\s+(?:tool\s+)?calls\b",
        "tool calls that failed",
    ),
    # `calls` without `tool` only at the start: phone calls may fail too.
    (
        rf"(?:^{FILLER}|\btool\s+)calls\s+that\s+failed\b",
        "tool calls that failed",
    ),
    (r"\btool\s+(?:errors|failures)\b", "tool calls that failed"),
    (r"\b(?:successful|succeeded)\s+tool\s+calls\b", "tool calls that succeeded"),
    (
        rf"^{FILLER}errors(?={END}|\s+(?:in|during|from|since|today|yesterday)\b)",
        "errors and failed tool calls",
    ),
    (rf"\b(?:failed|unsuccessful){EPISODES}", "episodes that failed"),
    (rf"\bsuccessful{EPISODES}", "episodes that succeeded"),
)

UNIT = r"(?P<unit>minute|hour|day|week|month)s?\b"
DAY = r"\d{4}-\d{2}-\d{2}"
CLOCK = r"\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?"
# "the last month of her stay" is content.
LAST = (
    r"\b(?:in|within|during|over|for|from)\s+the\s+(?:last|past)\s+"
    rf"(?:(?P<count>\d{{1,5}})\s+)?{UNIT}(?!\s+of\b)"
)
SINCE = (
    rf"\bsince\s+(?P<since>yesterday|today|{DAY}(?:[T ]{CLOCK})?)"
    r"(?=[\s?.!,]|$)"
)
ON_DAY = rf"\b(?P<day>today|yesterday){END}"
TIME_PATTERNS = (LAST, SINCE, ON_DAY)

# A month has 30 days.
UNITS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """The remaining text of a query, and its filters.

    `status` is a key of `STATUS_FILTERS`; `until` is exclusive.
    """

    text: str
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def description(self) -> str | None:
        """The filters in English; None if there are no filters."""
        parts = [
            self.status,
            self.since and f"since {_formatted(self.since)}",
            self.until and f"before {_formatted(self.until)}",
        ]
        return ", ".join(part for part in parts if part) or None


def parse_query(query: str, now: datetime) -> ParsedQuery:
    """Turn the first status phrase and the first time phrase of a query into filters.

    Args:
        query: the query.
        now: the current time, in UTC; days begin at midnight UTC.
    """
    text, status = query, None
    for pattern, name in STATUS_PATTERNS:
        if match := re.search(pattern, text, re.IGNORECASE):
            text, status = _without(text, match), name
            break
    since = until = None
    for pattern in TIME_PATTERNS:
        match = re.search(pattern, text, re.IGNORECASE)
        interval = _interval(match, now) if match else None
        if match and interval:
            text, (since, until) = _without(text, match), interval
            break
    if status is None and since is None:
        return ParsedQuery(query)
    text = re.sub(rf"^\s*{FILLER}|[\s?.!,]+$", "", text, flags=re.IGNORECASE)
    return ParsedQuery(" ".join(text.split()), status, since, until)


def _without(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()]} {text[match.end() :]}"


def _interval(
    match: re.Match[str], now: datetime
) -> tuple[datetime, datetime | None] | None:
    """Return start and end of the time in a match; None if it is not a valid time."""
    groups = {name: text.lower() for name, text in match.groupdict().items() if text}
    try:
        if "unit" in groups:
            return now - int(groups.get("count", 1)) * UNITS[groups["unit"]], None
        day = groups.get("since") or groups["day"]
        if day not in {"today", "yesterday"}:
            start = datetime.fromisoformat(day.upper())
            start = start if start.tzinfo else start.replace(tzinfo=UTC)
            return start.astimezone(UTC), None
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if day == "today":
            return midnight, None
        yesterday = midnight - timedelta(days=1)
        return yesterday, None if "since" in groups else midnight
    except (ValueError, OverflowError):
        return None


def _formatted(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
