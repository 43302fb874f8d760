"""A failed tool call is read from its result, not guessed by a word."""

from typing import Any

import pytest

from sources.transcripts.failures import failure_of

FAILURES: list[tuple[Any, str | None]] = [
    ({"isError": True}, "tool_error"),
    ('{"isError": true, "error": "404 not found"}', "tool_error"),
    ({"is_error": True, "content": []}, "tool_error"),
    ('{"success": false, "message": "channel_not_found"}', "tool_error"),
    ({"ok": False}, "tool_error"),
    ({"error": "no such user"}, "tool_error"),
    ({"error": {"code": 7}}, "tool_error"),
    ({"exit_code": 1, "stdout": ""}, "tool_error"),
    ({"output": "x", "metadata": {"exit_code": 2}}, "tool_error"),
    ({"status": "error"}, "tool_error"),
    ({"status_code": 404}, "tool_error"),
    ("Exit code 1\nmake: nothing", "tool_error"),
    ("Traceback (most recent call last): KeyError: 'x'", "KeyError"),
    (
        'Traceback (most recent call last):\n  File "a.py", line 1\nmod.OddError: x',
        "mod.OddError",
    ),
    ("out\nTraceback (most recent call last):\n  File\nValueError: x\n", "ValueError"),
    ("TypeError: x is not a function\n    at a.js:1", "TypeError"),
    ('Exception in thread "main" java.lang.IllegalStateException: x', None),
    ("panic: runtime error", "panic"),
    ("Error: no such user", "tool_error"),
    ("Error while calling find: no", "tool_error"),
]
SUCCESSES: list[Any] = [
    "Error budget remaining: 99.9 %",
    "Error rate: 0.1 %",
    "Errors: 0",
    "Errors found: none",
    "no Error here",
    {"isError": False, "error": "none"},
    {"error": None},
    {"error": ""},
    {"errors": []},
    {"success": True, "exit_code": 0},
    {"status": "cancelled", "order": 7},
    {"status": "ok"},
    "Exit code 0",
    "the log has a Traceback (most recent call last): somewhere\nand continues",
    "",
    None,
    [1],
    "{broken",
]


@pytest.mark.parametrize(("result", "kind"), FAILURES, ids=str)
def test_a_failure_is_recognized(result: object, kind: str | None) -> None:
    found = failure_of(result)
    assert found == (kind or "java.lang.IllegalStateException")


@pytest.mark.parametrize("result", SUCCESSES, ids=str)
def test_a_success_that_looks_like_a_failure_is_not_one(result: object) -> None:
    assert failure_of(result) is None


def test_the_word_error_counts_only_if_asked_for() -> None:
    assert failure_of("Error: no such user", guess=False) is None
    assert failure_of("ValueError: x", guess=False) == "ValueError"
