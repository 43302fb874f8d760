from datetime import UTC, datetime, timedelta

import pytest

from semloop.lake.recall.query_parser import STATUS_FILTERS, ParsedQuery, parse_query

NOW = datetime(2026, 11, 21, 22, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)
FAILED = "tool calls that failed"
ERRORS = "errors and failed tool calls"


@pytest.mark.parametrize(
    ("query", "text", "status"),
    [
        ("failed tool calls", "", FAILED),
        ("Failing calls about refunds", "about refunds", FAILED),
        ("unsuccessful tool calls", "", FAILED),
        ("broken tool calls?", "", FAILED),
        ("show me all the tool calls that failed", "", FAILED),
        ("calls that failed", "", FAILED),
        ("which tool calls that failed", "which", FAILED),
        ("tool errors of the booker", "of the booker", FAILED),
        ("list tool failures", "", FAILED),
        ("successful tool calls", "", "tool calls that succeeded"),
        ("succeeded tool calls", "", "tool calls that succeeded"),
        ("errors", "", ERRORS),
        ("What were the errors?", "", ERRORS),
        ("errors in the payment step", "in the payment step", ERRORS),
        ("failed episodes", "", "episodes that failed"),
        ("unsuccessful runs with refunds", "with refunds", "episodes that failed"),
        ("successful sessions", "", "episodes that succeeded"),
        ("successful tasks", "", "episodes that succeeded"),
    ],
)
def test_status_words_become_filters(query: str, text: str, status: str) -> None:
    assert parse_query(query, NOW) == ParsedQuery(text, status)


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("refunds in the last 24 hours", NOW - DAY, None),
        ("refunds within the past hour", NOW - timedelta(hours=1), None),
        ("refunds during the last week", NOW - 7 * DAY, None),
        ("refunds over the past 2 months", NOW - 60 * DAY, None),
        ("refunds for the last 90 minutes", NOW - timedelta(minutes=90), None),
        ("REFUNDS FROM THE LAST 3 DAYS?", NOW - 3 * DAY, None),
        ("refunds since yesterday", MIDNIGHT - DAY, None),
        ("refunds since today", MIDNIGHT, None),
        ("refunds since 2026-11-01", datetime(2026, 11, 1, tzinfo=UTC), None),
        (
            "refunds since 2026-11-01T10:30:00+02:00",
            datetime(2026, 11, 1, 8, 30, tzinfo=UTC),
            None,
        ),
        ("refunds since 2026-11-01 10:30", datetime(2026, 11, 1, 10, 30, tzinfo=UTC), None),
        ("refunds today", MIDNIGHT, None),
        ("refunds yesterday?", MIDNIGHT - DAY, MIDNIGHT),
    ],
)  # fmt: skip
def test_time_words_become_filters(
    query: str, since: datetime, until: datetime | None
) -> None:
    parsed = parse_query(query, NOW)
    assert (parsed.text.lower(), parsed.since, parsed.until) == (
        "refunds",
        since,
        until,
    )


def test_status_and_time_filters_combine_and_are_described() -> None:
    parsed = parse_query("failed tool calls in the last 24 hours", NOW)
    assert (parsed.text, parsed.status) == ("", FAILED)
    assert parsed.description == "tool calls that failed, since 2026-11-20 22:30 UTC"
    assert parse_query("errors yesterday", NOW).description == (
        f"{ERRORS}, since 2026-11-20 00:00 UTC, before 2026-11-21 00:00 UTC"
    )
    assert parsed.status in STATUS_FILTERS


@pytest.mark.parametrize(
    "query",
    [
        "What did Joanna write yesterday that appeared on the big screen?",
        "What was Tim's huge writing issue last week, as mentioned on November 6, 2023?",
        "What did John do to help his community last year?",
        "Where did Caroline move from 4 years ago?",
        "the customer reported an error with the payment",
        "What book did John recently finish",
        "advice about running a successful business",
        "phone calls that failed",
        "errors are human",
        "show me the list of all guests?",
        "in the last month of her stay",
        "since 2026-13-45 nothing worked",
        "in the last 99999 months",
        "the successful launch",
        "since yesterdays are gone",
        " spaces  stay ",
        "",
    ],
)
def test_questions_about_content_do_not_change(query: str) -> None:
    parsed = parse_query(query, NOW)
    assert parsed == ParsedQuery(query)
    assert parsed.description is None
