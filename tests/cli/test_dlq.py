"""`semloop dlq`, on dead letters that the flow's own steps made."""

import csv
import io
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.dead_letter import Reason
from semloop.command.cli.dead_letter_reasons import MEANINGS, meaning
from semloop.settings import Settings, load
from tests import processes
from tests.builders import NOW, an_event
from tests.cli.helpers import Semloop, Writer

LETTERS = [f"{n}{n}000000-0000-4000-8000-000000000000" for n in range(4)]


@pytest.fixture
def semloop(capsys: pytest.CaptureFixture[str]) -> Semloop:
    return Semloop(capsys)


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    """An old letter that is not JSON, then three newer ones, two of one agent."""
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
    """The lake of the settings has four letters; it is read only."""
    monkeypatch.setenv("SEMLOOP_LAKE", written.settings.lake)
    return written


def listed(text: str) -> list[list[str]]:
    """The cells of a printed table, its header first."""
    rows = [line.split("  ") for line in text.splitlines() if "  " in line]
    return [[cell.strip() for cell in row if cell.strip()] for row in rows]


@pytest.mark.usefixtures("letters")
def test_the_list_counts_by_reason_and_agent(semloop: Semloop) -> None:
    out = semloop("dlq", "ls")
    header, *rows = [row for row in listed(out) if len(row) > 1]
    assert header == ["reason", "agent", "count", "oldest", "newest", "newest_id"]
    assert [row[0] for row in rows] == ["unknown_type", "unknown_type", "not_json"]
    assert rows[0][1:] == ["booker", "2", "30 min", "10 min", LETTERS[3][:13]]
    assert rows[2][1:] == ["1", "2 d", "2 d", LETTERS[0][:13]]
    assert "semloop dlq show ID" in out
    # What it shows is enough to go on with.
    assert LETTERS[3] in semloop("dlq", "show", rows[0][-1])


def test_scripts_get_whole_ids_and_timestamps(
    letters: Writer, semloop: Semloop
) -> None:
    first, *_ = json.loads(semloop("dlq", "ls", "--format", "json"))
    assert (first["count"], first["newest_id"]) == (2, LETTERS[3])
    newest = letters.now - timedelta(minutes=10, seconds=10)
    assert datetime.fromisoformat(first["newest"]) == newest
    rows = list(csv.DictReader(io.StringIO(semloop("dlq", "ls", "--format", "csv"))))
    assert [row["count"] for row in rows] == ["2", "1", "1"]


@pytest.mark.usefixtures("letters")
def test_each_letter_is_listed_the_newest_first(semloop: Semloop) -> None:
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
def test_options_choose_letters(
    semloop: Semloop, options: list[str], expected: list[int]
) -> None:
    found = json.loads(semloop("dlq", "ls", "--each", *options, "--format", "json"))
    assert [row["id"] for row in found] == [LETTERS[n] for n in expected]


@pytest.mark.usefixtures("letters")
def test_nothing_that_matches_is_a_sentence(semloop: Semloop) -> None:
    assert semloop("dlq", "ls", "--agent", "x") == "No dead letters match.\n"


def test_an_empty_lake_has_no_dead_letters(semloop: Semloop) -> None:
    Path(".semloop").mkdir()
    assert semloop("dlq", "ls") == "No dead letters.\n"
    assert semloop("dlq", "ls", "--each", "--format", "json") == "[]\n"
    assert semloop("dlq", "ls", "--format", "csv").count("\n") == 1
    assert semloop.refused("dlq", "show", LETTERS[0])[0].startswith("No dead letter")


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
        ("show 99000000", "No dead letter is meant by '99000000'.", "`semloop dlq ls`"),
        ("show 110", "by '110' yet: that is too little", "Give 4 or more"),
        ("shw", "No such command 'shw'", "semloop dlq --help"),
        ("", "Missing command", "semloop dlq --help"),
    ],
)
def test_wrong_use_is_told_in_two_lines(
    semloop: Semloop, line: str, what: str, todo: str
) -> None:
    told = semloop.refused("dlq", *line.split())
    assert what in told[0]
    assert todo in told[1]


@pytest.mark.parametrize("line", ["ls", "show abcd"])
def test_an_absent_lake_is_told(semloop: Semloop, line: str) -> None:
    what, todo = semloop.refused("dlq", *line.split())
    assert what == f"There is no lake at {Path('.semloop').absolute()}."
    assert "SEMLOOP_LAKE" in todo


def test_an_id_that_several_begin_with_is_told(
    writer: Writer, semloop: Semloop
) -> None:
    ids = [f"aaaa-{n}" for n in range(7)]
    writer.write(*[b"x"] * 8, idempotency_keys=[*ids, "aaaa"])
    what, todo = semloop.refused("dlq", "show", "aaaa-")
    assert what == (
        "7 dead letters begin with 'aaaa-': aaaa-0, aaaa-1, aaaa-2, aaaa-3, aaaa-4, ..."
    )
    assert todo == "Give more of it."
    # The whole id of one is not the beginning of others.
    assert "aaaa\n" in semloop("dlq", "show", "aaaa").replace(" ", "")


def shown(semloop: Semloop, letter: str) -> dict[str, Any]:
    (found,) = json.loads(semloop("dlq", "show", letter, "--format", "json"))
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("letters")
def test_a_letter_is_shown_with_all_that_is_known(semloop: Semloop) -> None:
    out = semloop("dlq", "show", LETTERS[1][:4])
    for text in (
        LETTERS[1], "unknown_type", "agent-events/0/1", "topic-1", "booker", "s-1",
        "expected one of tool_call", NOW.isoformat(" "), meaning("unknown_type"),
    ):  # fmt: skip
        assert text in " ".join(out.split())
    # Its record is JSON, so it is indented.
    assert '\n  "type": "nope"' in out
    found = shown(semloop, LETTERS[1])
    assert json.loads(found["raw"])["type"] == "nope"
    assert (found["raw_encoding"], found["key"]) == ("utf-8", "s-1")
    assert found["meaning"] == meaning("unknown_type")
    assert found["kafka_ts"] == NOW.isoformat()


@pytest.mark.parametrize(
    ("raw", "expected", "exactly"),
    [
        pytest.param(
            b'{"a":1,"a":2.10}', '"a": 1,\n  "a": 2.10', "", id="repeated key"
        ),
        pytest.param(b"\xff\x1b[2J", "\\xff\\u001b[2J", r"\xFF\x1B[2J", id="bytes"),
        pytest.param(b"[" * 5_000, "[" * 100, "", id="deep"),
        pytest.param("{\u202e}".encode(), "{\\u202e}", "", id="direction"),
        pytest.param(b'"' + b"9" * 5_000, "9" * 100, "", id="cut-off number"),
        pytest.param(b" ", "", "", id="blank"),
    ],
)
def test_any_record_can_be_shown(
    writer: Writer, semloop: Semloop, raw: bytes, expected: str, exactly: str
) -> None:
    writer.write(raw, idempotency_keys=LETTERS[:1])
    out = semloop("dlq", "show", LETTERS[0])
    assert expected in out
    assert not set(out) & set("\x1b\u202e")
    assert shown(semloop, LETTERS[0])["raw"] == (exactly or raw.decode())


def test_a_long_record_is_cut_for_people_only(writer: Writer, semloop: Semloop) -> None:
    record = b"[" + b"1, " * 300_000 + b"1]"
    writer.write(record, idempotency_keys=LETTERS[:1])
    out = semloop("dlq", "show", LETTERS[0])
    assert len(out) < 10_000
    assert "900,003 bytes in all; --format json prints them." in out
    assert shown(semloop, LETTERS[0])["raw"].encode() == record


def test_a_record_that_was_too_large_is_not_there(
    writer: Writer, semloop: Semloop
) -> None:
    writer.write(b"x" * 2**21, idempotency_keys=LETTERS[:1])
    assert "nothing was kept" in semloop("dlq", "show", LETTERS[0])
    found = shown(semloop, LETTERS[0])
    assert (found["raw"], found["raw_encoding"]) == (None, None)


def test_every_reason_is_explained() -> None:
    assert set(MEANINGS) == set(Reason)
    for reason in Reason:
        assert meaning(reason).endswith(".")
        assert ": " in meaning(reason)
    assert "newer semloop" in meaning("of_tomorrow")


def test_a_name_cannot_steer_the_terminal(writer: Writer, semloop: Semloop) -> None:
    name = "a\x1b[2J\n\u202eb"
    writer.write(
        an_event("message", agent=name, type="x"), idempotency_keys=LETTERS[:1]
    )
    for line in ("ls", "ls --each", f"show {LETTERS[0]}"):
        out = semloop("dlq", *line.split())
        assert "\\u001b" in out
        assert not set(out) & set("\x1b\u202e")


def test_many_letters_are_listed(writer: Writer, semloop: Semloop) -> None:
    writer.write(*[b"x"] * 5_001)
    assert len(json.loads(semloop("dlq", "ls", "--each", "--format", "json"))) == 5_001
    assert "The first 1,000 rows" in semloop("dlq", "ls", "--each")


def test_a_lake_on_s3_is_no_different(
    s3_settings: Settings, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", s3_settings.lake)
    Writer(s3_settings).write(b"not json", idempotency_keys=LETTERS[:1])
    assert LETTERS[0][:13] in semloop("dlq", "ls")
    assert "not json" in semloop("dlq", "show", LETTERS[0])


def test_a_reader_may_leave_early(written: Writer) -> None:
    line = f"{sys.executable} -P -m semloop dlq ls --each --format csv | head -c 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env=processes.environment(written.settings),
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("i", "")
