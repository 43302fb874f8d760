"""`semloop dlq`, on dead letters written by the flow's own code."""

import csv
import io
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from semloop.command.health.reasons import meaning
from semloop.redaction.factory import redactor_of
from semloop.settings import load
from semloop.storage.location import Storage
from semloop.storage.redaction_key import writer_key
from tests.cli.helpers import Semloop, Writer
from tests.support import processes
from tests.support.builders import NOW, an_event

LETTERS = [f"{n}{n}000000-0000-4000-8000-000000000000" for n in range(4)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    """A lake with an old letter (not JSON) and three newer ones, two of one agent."""
    lake = tmp_path_factory.mktemp("lake")
    writer = Writer(load({}, lake=str(lake)))
    now = writer.now
    writer.now = now - timedelta(days=2, hours=1)
    writer.write(b"not json", idempotency_keys=LETTERS[:1])
    writer.now = now - timedelta(minutes=30, seconds=10)
    unknown = [an_event("message", agent=a, type="nope") for a in ("booker", "clerk")]
    writer.write(unknown[0], unknown[1], idempotency_keys=LETTERS[1:3])
    writer.now = now - timedelta(minutes=10, seconds=10)
    writer.write(unknown[0], idempotency_keys=LETTERS[3:])
    writer.now = now
    return writer


@pytest.fixture
def letters(written: Writer, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """Configure the lake with the four letters; tests must not change it."""
    monkeypatch.setenv("SEMLOOP_LAKE", written.settings.lake)
    return written


def listed(text: str) -> list[list[str]]:
    """Return the cells of a printed table, header first."""
    rows = [line.split("  ") for line in text.splitlines() if "  " in line]
    return [[cell.strip() for cell in row if cell.strip()] for row in rows]


@pytest.mark.usefixtures("letters")
def test_the_list_counts_by_reason_and_agent(semloop: Semloop) -> None:
    out = semloop("dlq", "ls")
    header, *rows = [row for row in listed(out) if len(row) > 1]
    assert header == [
        "reason",
        "agent",
        "state",
        "count",
        "oldest",
        "newest",
        "newest_id",
    ]
    assert [row[0] for row in rows] == ["unknown_type", "unknown_type", "not_json"]
    assert rows[0][1:] == ["booker", "open", "2", "30 min", "10 min", LETTERS[3][:13]]
    assert rows[2][1:] == ["open", "1", "2 d", "2 d", LETTERS[0][:13]]
    assert "semloop dlq show ID" in out
    # The shown prefix is accepted as an id.
    assert LETTERS[3] in semloop("dlq", "show", rows[0][-1])


def test_json_contains_full_ids_and_timestamps(
    letters: Writer, semloop: Semloop
) -> None:
    first, *_ = json.loads(semloop("dlq", "ls", "--format", "json"))
    assert (first["count"], first["newest_id"]) == (2, LETTERS[3])
    newest = letters.now - timedelta(minutes=10, seconds=10)
    assert datetime.fromisoformat(first["newest"]) == newest
    rows = list(csv.DictReader(io.StringIO(semloop("dlq", "ls", "--format", "csv"))))
    assert [row["count"] for row in rows] == ["2", "1", "1"]


@pytest.mark.usefixtures("letters")
def test_option_each_lists_every_letter_newest_first(semloop: Semloop) -> None:
    found = json.loads(semloop("dlq", "ls", "--each", "--format", "json"))
    assert [row["id"] for row in found] == [LETTERS[n] for n in (3, 2, 1, 0)]
    assert found[0]["kafka_offset"] == 3
    assert found[0]["session_id"] == "s-1"
    out = semloop("dlq", "ls", "--each")
    assert "agent-events/0/3" in out
    assert "10 min" in out
    assert LETTERS[1][:13] in out


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--reason", "not_json"], [0]),
        (["--agent", "clerk"], [2]),
        (["--since", "20m"], [3]),
        (["--since", "1h", "--agent", "booker"], [3, 1]),
        (["--limit", "2"], [3, 2]),
        (["--reason", "too_deep"], []),
        (["--agent", "' OR true --"], []),
    ],
)
def test_options_filter_letters(
    semloop: Semloop, options: list[str], expected: list[int]
) -> None:
    found = json.loads(semloop("dlq", "ls", "--each", *options, "--format", "json"))
    assert [row["id"] for row in found] == [LETTERS[n] for n in expected]


def test_an_agent_whose_name_is_private_is_found_by_its_original(
    tmp_path: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ann@example.com"
    settings = load({}, lake=str(tmp_path))
    key = writer_key(settings, Storage.of(settings))
    stored = redactor_of(key, settings.redaction).text(name)
    writer = Writer(settings)
    writer.write(an_event("message", agent=stored, type="nope"))
    monkeypatch.setenv("SEMLOOP_LAKE", writer.settings.lake)
    for asked in (name, stored):
        out = semloop("dlq", "ls", "--each", "--agent", asked, "--format", "json")
        assert [row["agent"] for row in json.loads(out)] == [stored]


@pytest.mark.usefixtures("letters")
def test_ls_reports_that_no_letters_match(semloop: Semloop) -> None:
    assert semloop("dlq", "ls", "--agent", "x") == "No dead letters match.\n"


def test_an_empty_lake_has_no_dead_letters(semloop: Semloop) -> None:
    Path(".semloop").mkdir()
    assert semloop("dlq", "ls") == "No dead letters.\n"
    assert semloop("dlq", "ls", "--each", "--format", "json") == "[]\n"
    assert semloop("dlq", "ls", "--format", "csv").count("\n") == 1
    assert semloop.refused("dlq", "show", LETTERS[0])[0] == (
        f"There is no dead letter '{LETTERS[0]}'."
    )


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize(
    ("line", "what", "todo"),
    [
        ("ls --reason not-json", "no reason 'not-json'", "Did you mean 'not_json'?"),
        ("ls --reason x", "no reason 'x'", "The reasons are: not_json, "),
        ("ls --since soon", "'soon' is neither", "24h"),
        ("ls --limit 0", "greater than or equal to 1", "semloop dlq ls --help"),
        ("ls --format xml", "'xml' is not one of", "semloop dlq ls --help"),
        ("show", "Missing argument 'ID'", "semloop dlq show --help"),
        ("show 99000000", "There is no dead letter '99000000'.", "`semloop dlq ls`"),
        ("show 110", "'110' is too short to identify", "Give at least 4"),
        ("shw", "No such command 'shw'", "semloop dlq --help"),
        ("", "Missing command", "semloop dlq --help"),
    ],
)
def test_wrong_usage_is_reported_in_two_lines(
    semloop: Semloop, line: str, what: str, todo: str
) -> None:
    errors = semloop.refused("dlq", *line.split())
    assert what in errors[0]
    assert todo in errors[1]


@pytest.mark.parametrize("line", ["ls", "show abcd"])
def test_dlq_reports_a_missing_lake(semloop: Semloop, line: str) -> None:
    what, todo = semloop.refused("dlq", *line.split())
    assert what == f"There is no lake at {Path('.semloop').absolute()}."
    assert "SEMLOOP_LAKE" in todo


def test_show_reports_an_ambiguous_prefix(writer: Writer, semloop: Semloop) -> None:
    ids = [f"aaaa-{n}" for n in range(7)]
    writer.write(*[b"x"] * 8, idempotency_keys=[*ids, "aaaa"])
    what, todo = semloop.refused("dlq", "show", "aaaa-")
    assert what == (
        "7 dead letters begin with 'aaaa-': aaaa-0, aaaa-1, aaaa-2, aaaa-3, aaaa-4, ..."
    )
    assert todo == "Give more characters of the id."
    # A full id is not treated as a prefix of others.
    assert "aaaa\n" in semloop("dlq", "show", "aaaa").replace(" ", "")


def shown(semloop: Semloop, letter: str) -> dict[str, Any]:
    (found,) = json.loads(semloop("dlq", "show", letter, "--format", "json"))
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("letters")
def test_show_prints_all_fields_of_a_letter(semloop: Semloop) -> None:
    out = semloop("dlq", "show", LETTERS[1][:4])
    for text in (
        LETTERS[1], "unknown_type", "agent-events/0/1", "topic-1", "booker", "s-1",
        'type: "nope" is not one of tool_call', NOW.isoformat(" "), meaning("unknown_type"),
    ):  # fmt: skip
        assert text in " ".join(out.split())
    # The record is JSON and therefore indented.
    assert '\n  "type": "nope"' in out
    found = shown(semloop, LETTERS[1])
    assert json.loads(found["raw"])["type"] == "nope"
    assert (found["raw_encoding"], found["key"]) == ("utf-8", "s-1")
    assert found["meaning"] == meaning("unknown_type")
    assert found["kafka_ts"] == NOW.isoformat()


@pytest.mark.parametrize(
    ("raw", "expected", "escaped"),
    [
        pytest.param(
            b'{"a":1,"a":2.10}', '"a": 1,\n  "a": 2.10', "", id="repeated key"
        ),
        pytest.param(b"\xff\x1b[2J", "\\xff\\u001b[2J", r"\xFF\x1B[2J", id="bytes"),
        pytest.param(b"[" * 5_000, "[" * 100, "", id="deep"),
        pytest.param("{\u202e}".encode(), "{\\u202e}", "", id="direction"),
        pytest.param(b'"' + b"9" * 5_000, "9" * 100, "", id="truncated string"),
        pytest.param(b" ", "", "", id="blank"),
    ],
)
def test_show_prints_any_record(
    writer: Writer, semloop: Semloop, raw: bytes, expected: str, escaped: str
) -> None:
    writer.write(raw, idempotency_keys=LETTERS[:1])
    out = semloop("dlq", "show", LETTERS[0])
    assert expected in out
    assert not set(out) & set("\x1b\u202e")
    assert shown(semloop, LETTERS[0])["raw"] == (escaped or raw.decode())


def test_a_long_record_is_truncated_only_in_the_table_format(
    writer: Writer, semloop: Semloop
) -> None:
    record = b"[" + b"1, " * 300_000 + b"1]"
    writer.write(record, idempotency_keys=LETTERS[:1])
    out = semloop("dlq", "show", LETTERS[0])
    assert len(out) < 10_000
    assert "900,003 bytes in total; --format json prints all." in out
    assert shown(semloop, LETTERS[0])["raw"].encode() == record


def test_show_reports_that_a_too_large_record_was_not_stored(
    writer: Writer, semloop: Semloop
) -> None:
    writer.write(b"x" * (2**22 + 1), idempotency_keys=LETTERS[:1])
    assert "was not stored" in semloop("dlq", "show", LETTERS[0])
    found = shown(semloop, LETTERS[0])
    assert (found["raw"], found["raw_encoding"]) == (None, None)


def test_control_characters_of_names_are_escaped(
    writer: Writer, semloop: Semloop
) -> None:
    name = "a\x1b[2J\n\u202eb"
    writer.write(
        an_event("message", agent=name, type="x"), idempotency_keys=LETTERS[:1]
    )
    for line in ("ls", "ls --each", f"show {LETTERS[0]}"):
        out = semloop("dlq", *line.split())
        assert "\\u001b" in out
        assert not set(out) & set("\x1b\u202e")


def test_json_lists_more_letters_than_the_table(
    writer: Writer, semloop: Semloop
) -> None:
    writer.write(*[b"x"] * 2_001)
    assert len(json.loads(semloop("dlq", "ls", "--each", "--format", "json"))) == 2_001
    assert "First 1,000 rows shown" in semloop("dlq", "ls", "--each")


@pytest.mark.process
def test_a_closed_pipe_is_not_reported_as_an_error(written: Writer) -> None:
    line = f"{sys.executable} -P -m semloop dlq ls --each --format csv | head -c 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env=processes.environment(written.settings),
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("i", "")
