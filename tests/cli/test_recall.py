"""`semloop recall`, on memories in the form in which the flow writes them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import Semloop
from tests.semloop.recall.a_memory_lake import a_memory_lake, a_message, ago, closed

LONG = "the refund was refused because of the fare class " * 8


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lake"
    a_memory_lake(
        folder,
        a_message(LONG.strip(), "a", agent="x", user_id="u", ts=ago(hours=2)),
        a_message("a seat was changed\x1b[31m", "b", ts=ago(days=3), type="error"),
        episodes=[closed("a", outcome="failure", reward=0.25)],
    )
    monkeypatch.setenv("SEMLOOP_LAKE", str(folder))
    monkeypatch.setenv("SEMLOOP_EMBEDDER", "hashing")
    monkeypatch.setenv("COLUMNS", "140")
    return folder


def test_a_table_shows_the_main_columns_on_one_line_per_memory(
    lake: Path, semloop: Semloop
) -> None:
    lines = [s for s in semloop("recall", "refund refused").splitlines() if s.strip()]
    assert lines[0].split() == [
        "rank", "score", "text", "reward", "outcome", "session", "ts"
    ]  # fmt: skip
    first = lines[2]
    assert "the refund was refused" in first
    assert "…" in first
    assert first.split()[-5:-2] == ["0.25", "failure", "s-a"]
    assert "a seat was changed\\u001b[31m" in lines[3]
    assert lines[4] == "2 rows"


def test_json_contains_every_column_and_ids_as_text(
    lake: Path, semloop: Semloop
) -> None:
    (row,) = json.loads(semloop("recall", "refund", "-k", "1", "--format", "json"))
    assert row["text"] == LONG.strip()
    assert len(bytes.fromhex(row["id"])) == 16
    assert row["event_ids"] == ["event-0"]
    assert {"similarity", "keyword", "decay", "topic_id", "after"} <= set(row)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--agent", "x"], 1),
        (["--namespace", "default"], 2),
        (["--session", "s-b"], 1),
        (["--user", "u"], 1),
        (["--kind", "episode"], 0),
        (["--since", "24h"], 1),
        (["--min-reward", "0.2"], 1),
        (["--half-life", "7d"], 2),
        (["-k", "1"], 1),
    ],
)
def test_options_are_filters(
    lake: Path, semloop: Semloop, options: list[str], count: int
) -> None:
    found = json.loads(semloop("recall", "refund", "--format", "json", *options))
    assert len(found) == count


def test_filters_taken_from_the_query_are_printed_to_stderr(
    lake: Path, semloop: Semloop
) -> None:
    without_match = ("recall", "errors in the last 2 days", "--format", "json")
    code, out, err = semloop.run(*without_match)
    assert (code, json.loads(out)) == (0, [])
    assert err.startswith("Filters: errors and failed tool calls, since 20")
    assert err.splitlines()[1:] == [
        "No memory matches these filters; --no-words searches for the words instead."
    ]
    with_match = ("recall", "errors in the last 9 days", "--format", "json")
    code, out, err = semloop.run(*with_match)
    assert (code, len(json.loads(out)), len(err.splitlines())) == (0, 1, 1)
    code, out, err = semloop.run(*without_match, "--no-words")
    assert (code, len(json.loads(out)), err) == (0, 2, "")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([""], "The query is empty."),
        (["x", "-k", "0"], "k is 0; it must be between 1 and 1,000."),
        (["x", "--kind", "odd"], "There is no kind 'odd' of memories."),
        (["x", "--since", "soon"], "since: 'soon' is neither"),
        (["x", "--half-life", "long"], "half_life: 'long' is not a duration"),
        (["x", "--min-reward", "much"], "Invalid value for '--min-reward'"),
        ([], "Missing argument 'QUERY'."),
    ],
)
def test_wrong_usage_is_reported_in_two_lines(
    lake: Path, semloop: Semloop, arguments: list[str], error: str
) -> None:
    code, out, err = semloop.run("recall", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(error)
    assert len(err.splitlines()) == 2


def test_recall_reports_a_missing_lake_and_missing_memories(
    tmp_path: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", str(tmp_path / "none"))
    code, _, err = semloop.run("recall", "x")
    assert (code, err.startswith("There is no lake at ")) == (1, True)
    (tmp_path / "none").mkdir()
    code, out, err = semloop.run("recall", "x", "--format", "json")
    assert (code, out) == (0, "[]\n")
    assert err.startswith("There are no memories yet: ")


def test_a_closed_pipe_is_not_reported_as_an_error(lake: Path) -> None:
    command = [sys.executable, "-m", "semloop", "recall", "refund", "--format", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
