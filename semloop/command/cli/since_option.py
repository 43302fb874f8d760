"""The option `--since` of commands."""

from datetime import UTC, datetime

from semloop.lake.recall.times import moment

SINCE_HELP = "Only since this age (90m, 24h, 7d) or timestamp (UTC by default)."


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """Parse the value of `--since`.

    Args:
        text: a duration before now (`90m`, `24h`, `7d`, `2w`) or an ISO 8601 timestamp;
            without an offset it is UTC, as in json and csv output.
        now: the current time; default: the system clock.

    Raises:
        ConfigError: the text is neither, or means a time before year 1.
    """
    return moment("--since", text, now or datetime.now(UTC))
