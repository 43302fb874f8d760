"""Time and status words of a query become filters, by the rules that stand here.

The rules are few and narrow: a question about content must stay as it is, and what was
taken for a filter is told with the result. A rule's words vanish from the query, and
filler around them too, but filler only if a rule applied.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# What the words are taken for -> the condition on memories, in Lance's SQL.
STATUS_FILTERS = {
    "tool calls that failed": "type = 'tool_call' AND status = 'error'",
    "tool calls that succeeded": "type = 'tool_call' AND status = 'success'",
    "errors and failed tool calls": (
        "(type = 'error' OR (type = 'tool_call' AND status = 'error'))"
    ),
    "episodes that failed": "kind = 'episode' AND outcome = 'failure'",
    "episodes that succeeded": "kind = 'episode' AND outcome = 'success'",
}

FILLER = r"(?:(?:please|show\s+me|list|what\s+were|all|the)\b\s*)*"
END = r"[\s?.!]*$"
EPISODES = r"\s+(?:episodes|sessions|runs|tasks)\b"

STATUS = (
    (
        r"\b(?:failed|failing|unsuccessful|broken)\s+(?:tool\s+)?calls\b",
        "tool calls that failed",
    ),
    # Of calls alone only at the start: phone calls may fail too.
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
TIME = (LAST, SINCE, ON_DAY)

# A month is as long as 30 days.
LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A query taken apart: the text that is left, and filters.

    `what` is a key of `STATUS_FILTERS`; `until` is exclusive; `said` tells the filters to people,
    None if there are none.
    """

    text: str
    what: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def said(self) -> str | None:
        """What the words were taken for."""
        parts = [
            self.what,
            self.since and f"since {_told(self.since)}",
            self.until and f"before {_told(self.until)}",
        ]
        return ", ".join(part for part in parts if part) or None


def parse_query(query: str, now: datetime) -> ParsedQuery:
    """Turn the first status word and the first time word of a query into filters.

    Args:
        query: what was asked.
        now: the clock's time, in UTC; a day begins at midnight UTC.
    """
    text, what = query, None
    for pattern, meaning in STATUS:
        if found := re.search(pattern, text, re.IGNORECASE):
            text, what = _without(text, found), meaning
            break
    since = until = None
    for pattern in TIME:
        found = re.search(pattern, text, re.IGNORECASE)
        times = _times(found, now) if found else None
        if found and times:
            text, (since, until) = _without(text, found), times
            break
    if what is None and since is None:
        return ParsedQuery(query)
    text = re.sub(rf"^\s*{FILLER}|[\s?.!,]+$", "", text, flags=re.IGNORECASE)
    return ParsedQuery(" ".join(text.split()), what, since, until)


def _without(text: str, found: re.Match[str]) -> str:
    return f"{text[: found.start()]} {text[found.end() :]}"


def _times(
    found: re.Match[str], now: datetime
) -> tuple[datetime, datetime | None] | None:
    """From when until when; None if there is no such time."""
    groups = {name: text.lower() for name, text in found.groupdict().items() if text}
    try:
        if "unit" in groups:
            return now - int(groups.get("count", 1)) * LENGTHS[groups["unit"]], None
        said = groups.get("since") or groups["day"]
        if said not in {"today", "yesterday"}:
            moment = datetime.fromisoformat(said.upper())
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC), None
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if said == "today":
            return midnight, None
        yesterday = midnight - timedelta(days=1)
        return yesterday, None if "since" in groups else midnight
    except (ValueError, OverflowError):
        return None


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
