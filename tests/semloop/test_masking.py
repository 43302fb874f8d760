"""Logins and keys in addresses are masked in every error text."""

import pytest

from semloop.errors import ConfigError
from semloop.masking import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'ann:pa/ss@w0rd@host:9092' is wrong", "'***@host:9092' is wrong"),
        ("s3://key:se/cr+et@bucket/x", "s3://***@bucket/x"),
        ("s3:/key:secret@bucket", "s3:/***@bucket"),
        ("https://token@host/v1?key=abc&b=c", "https://***@host/v1?key=***&b=***"),
        ("host:9092?password=x'", "host:9092?password=***'"),
        ("KAFKA=ann:secret@host", "KAFKA=***@host"),
        ("-----BEGIN PRIVATE KEY-----\nabc cannot be read", "***"),
    ],
)
def test_a_login_a_query_and_a_key_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown
    error = ConfigError(text, text)
    assert (error.what, error.todo) == (shown, shown)
    assert str(error) == f"{shown}\n{shown}"
    assert error.args == (shown,)


@pytest.mark.parametrize(
    "text",
    [
        "The lake /home/me@work/lake is missing.",
        "'s3://bucket/x@y'",
        "sessions: mail@example.com at 12:00",
        "Is it? Run: semloop status",
        "git@github.com:a/b",
    ],
)
def test_other_texts_are_shown_as_they_are(text: str) -> None:
    assert masked(text) == text
