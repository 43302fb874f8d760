"""The option `--since`."""

from datetime import UTC, datetime

from semloop.lake.recall.times import moment

HELP = "Since when: 90m, 24h, 7d, or a timestamp (UTC unless it has an offset)."


def since(text: str, now: datetime | None = None) -> datetime:
    """The moment that a user means by `--since`.

    Args:
        text: a length before now (`90m`, `24h`, `7d`, `2w`) or an ISO 8601 timestamp;
            one without an offset is UTC, as in json and csv.
        now: the clock's time, unless it is another.

    Raises:
        ConfigError: it is neither, or before the first year.
    """
    return moment("--since", text, now or datetime.now(UTC))
