"""`semloop recall`, on memories in the form in which the flow writes them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import Semloop
from tests.semloop.recall.a_memory_lake import a_memory_lake, a_message, ago, closed

LONG = "the refund was refused because of the fare class " * 8


@pytest.fixture(scope="module")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two memories and an episode, which no test changes."""
    folder = tmp_path_factory.mktemp("remembered") / "lake"
    a_memory_lake(
        folder,
        a_message(LONG.strip(), "a", agent="x", user_id="u", ts=ago(hours=2)),
        a_message("a seat was changed\x1b[31m", "b", ts=ago(days=3), type="error"),
        episodes=[closed("a", outcome="failure", reward=0.25)],
    )
    return folder


@pytest.fixture
def lake(remembered: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same lake, as that of the settings."""
    monkeypatch.setenv("SEMLOOP_LAKE", str(remembered))
    monkeypatch.setenv("SEMLOOP_EMBEDDER", "hashing")
    monkeypatch.setenv("COLUMNS", "140")
    return remembered


def test_a_table_shows_score_time_agent_session_and_outcome_above_each_text(
    lake: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = semloop("recall", "refund refused").splitlines()
    head = r"1  \d\.\d\d  20\d\d-\d\d-\d\d \d\d:\d\d\S+  x, user u  session s-a"
    assert re.fullmatch(head + r"  failure \(reward 0.25\)", lines[0])
    assert lines[1].startswith(
        "   the refund was refused because of the fare class the"
    )
    assert lines[3].endswith("…")
    assert lines[4] == ""
    assert lines[5].startswith("2  ")
    assert lines[6:] == ["   a seat was changed\\u001b[31m", "", "2 results"]
    assert max(map(len, lines)) <= 80


def test_a_table_shows_the_text_after_a_memory(
    tmp_path: Path, lake: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "other"
    a_memory_lake(folder, a_message("refund?"), a_message("No.\x1b[31m\nSorry."))
    monkeypatch.setenv("SEMLOOP_LAKE", str(folder))
    lines = semloop("recall", "refund", "-k", "1").splitlines()
    assert lines[1:3] == ["   refund?", "     then: No.\\u001b[31m Sorry."]


def test_the_line_above_a_text_wraps_between_its_parts(
    lake: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = semloop("recall", "refund refused", "-k", "1").splitlines()
    assert lines[1:3] == ["   x, user u  session s-a", "   failure (reward 0.25)"]
    assert lines[3].startswith("   the refund")


def test_words_of_the_query_are_bold_except_those_that_became_filters(
    lake: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    query = "seats since 2020-01-01"
    code, out, err = semloop.run("recall", query, "--kind", "event")
    assert (code, err) == (0, "Filters: since 2020-01-01 00:00 UTC.\n")
    assert "a \x1b[1mseat\x1b[0m was changed" in out
    assert "2020\x1b" not in out


@pytest.fixture
def cases(tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake with 50 near-equal memories and a different one."""
    folder = tmp_path / "cases"
    rows = [a_message(f"case {10_000 + n} refused", f"e{n}") for n in range(50)]
    a_memory_lake(folder, *rows, a_message("a seat was changed", "b"))
    monkeypatch.setenv("SEMLOOP_LAKE", str(folder))


def test_near_equal_memories_are_folded_so_that_different_ones_follow(
    cases: None, semloop: Semloop
) -> None:
    lines = semloop("recall", "case refused", "-k", "2").splitlines()
    assert [lines[n] for n in (2, 5)] == [
        "     and 49 like it", "   a seat was changed"
    ]  # fmt: skip
    assert lines[-1] == "2 results; --all shows 49 more that are like them"


def test_all_shows_the_folded_memories(cases: None, semloop: Semloop) -> None:
    lines = semloop("recall", "case refused", "-k", "2", "--all").splitlines()
    assert sum(line.lstrip().startswith("case 100") for line in lines) == 50
    assert lines[-3:] == ["    a seat was changed", "", "51 results"]


def test_machine_formats_are_not_folded(cases: None, semloop: Semloop) -> None:
    rows = json.loads(semloop("recall", "case refused", "-k", "3", "--format", "json"))
    assert [row["rank"] for row in rows] == [1, 2, 3]
    csv = semloop("recall", "case refused", "-k", "3", "--format", "csv").splitlines()
    assert [line.split(",")[0] for line in csv] == ["rank", "1", "2", "3"]


def test_explain_shows_the_parts_of_each_score(lake: Path, semloop: Semloop) -> None:
    out = semloop("recall", "refund refused", "--explain", "-k", "1")
    score = float(out.split()[1])
    parts = re.search(
        r"\(3 x similarity (\S+) \+ keyword (\S+) \+ keyword_context (\S+)"
        r" \+ neighbours (\S+) \+ session (\S+)\) x decay (\S+)\n",
        out,
    )
    assert parts is not None
    similarity, *others, decay = map(float, parts.groups())
    assert score == pytest.approx(decay * (3 * similarity + sum(others)), abs=0.05)


def test_the_format_prompt_quotes_memories_within_the_given_tokens(
    lake: Path, semloop: Semloop
) -> None:
    arguments = ("recall", "refund refused", "--format", "prompt")
    shown = semloop(*arguments)
    assert shown.startswith("<recalled_memories>\n")
    assert shown.count("<memory ") == 2
    assert "a seat was changed\\u001b[31m" in shown
    assert semloop(*arguments, "--max-tokens", "300").count("<memory ") == 1


@pytest.mark.parametrize("form", ["prompt", "json"])
def test_a_memory_that_exceeds_the_tokens_is_reported(
    lake: Path, semloop: Semloop, form: str
) -> None:
    tokens = ("--max-tokens", "90", "--format", form)
    code, out, err = semloop.run("recall", "refund refused", *tokens)
    assert (code, out) == (0, "" if form == "prompt" else "[]\n")
    assert err == "The best memory has more tokens than --max-tokens: raise it.\n"


def test_a_prompt_without_memories_is_empty(lake: Path, semloop: Semloop) -> None:
    assert semloop("recall", "x", "--agent", "another", "--format", "prompt") == ""


def test_a_table_without_results_has_its_last_line(
    lake: Path, semloop: Semloop
) -> None:
    assert semloop("recall", "refund", "--agent", "another") == "0 results\n"


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
        (["x", "-k", "-3"], "k is -3; it must be between 1 and 1,000."),
        (["x", "-k", "1001"], "k is 1001; it must be between 1 and 1,000."),
        (["x", "--kind", "odd"], "There is no kind 'odd' of memories."),
        (["x", "--since", "soon"], "since: 'soon' is neither"),
        (["x", "--half-life", "long"], "half_life: 'long' is not a duration"),
        (["x", "--min-reward", "much"], "Invalid value for '--min-reward'"),
        (["x", "--max-tokens", "0"], "Invalid value for '--max-tokens'"),
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


@pytest.mark.process
def test_a_closed_pipe_is_not_reported_as_an_error(lake: Path) -> None:
    command = [sys.executable, "-m", "semloop", "recall", "refund", "--format", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
