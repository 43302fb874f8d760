import csv
import io
import json
import math
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import duckdb
import pytest

from semloop.command.terminal import output
from semloop.command.terminal.console import PIPE_CHARS
from semloop.command.terminal.output import (
    Format,
    bytes_text,
    distinct_names,
    print_rows,
)
from tests.cli.helpers import Writer
from tests.support import processes
from tests.support.builders import an_event
from tests.support.hostile_text import HOSTILE, hidden_in

NOON = datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=UTC)


def printed(form: Format, columns: Sequence[str], *rows: Sequence[object]) -> str:
    out = io.StringIO()
    print_rows(columns, rows, form, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="null"),
        pytest.param(True, True, id="bool"),
        pytest.param(2**100, 2**100, id="huge integer"),
        pytest.param(0.5, 0.5, id="float"),
        pytest.param(math.nan, None, id="not a number"),
        pytest.param(-math.inf, None, id="infinity"),
        pytest.param(Decimal("1.50"), 1.5, id="decimal"),
        pytest.param("é\x00\n", "é\x00\n", id="text with NUL"),
        pytest.param(NOON, "2026-01-02T12:00:00.000005+00:00", id="timestamp"),
        pytest.param(date(2026, 1, 2), "2026-01-02", id="date"),
        pytest.param(time(1, 2), "01:02:00", id="time"),
        pytest.param(timedelta(days=1, hours=2), "1 day, 2:00:00", id="interval"),
        pytest.param(uuid.UUID(int=1), str(uuid.UUID(int=1)), id="uuid"),
        pytest.param(b"a\x00\xff\"\\'", r"a\x00\xFF\x22\x5C\x27", id="bytes"),
        pytest.param([1, [NOON]], [1, [NOON.isoformat()]], id="list"),
        pytest.param({1: b"x", "k": math.nan}, {"1": "x", "k": None}, id="map"),
    ],
)
def test_json_is_one_array_of_objects(value: object, expected: object) -> None:
    text = printed(Format.JSON, ["a"], [value], [value])
    assert json.loads(text) == [{"a": expected}, {"a": expected}]


def test_json_without_rows_is_an_empty_array() -> None:
    assert printed(Format.JSON, ["a"]) == "[]\n"


def test_json_and_csv_truncate_nothing() -> None:
    long = "x" * 100_000
    assert json.loads(printed(Format.JSON, ["a"], [long])) == [{"a": long}]
    assert printed(Format.CSV, ["a"], [long]) == f"a\n{long}\n"


def test_duplicate_columns_keep_their_values_in_json() -> None:
    assert distinct_names(["a", "a", "a_1", "a"]) == ["a", "a_1", "a_1_1", "a_2"]
    assert json.loads(printed(Format.JSON, ["a", "a"], [1, 2])) == [{"a": 1, "a_1": 2}]


def test_a_csv_reader_restores_the_values() -> None:
    rows = [["a,b", 'say "x"\nand go', None, NOON, [1, "é"], True, b"\xff"]]
    text = printed(Format.CSV, list("abcdefg"), *rows)
    assert list(csv.reader(io.StringIO(text)))[1] == [
        "a,b", 'say "x"\nand go', "", NOON.isoformat(), '[1, "é"]', "true", r"\xFF",
    ]  # fmt: skip


def test_csv_restores_every_character_of_a_text() -> None:
    rows = [[HOSTILE[:end], "x"] for end in range(len(HOSTILE))]
    text = printed(Format.CSV, ["a\rb", "c"], *rows)
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert found == [["a\rb", "c"], *rows]


def test_json_restores_every_character_and_shows_none_that_is_hidden() -> None:
    text = printed(Format.JSON, [HOSTILE], [HOSTILE])
    assert json.loads(text) == [{HOSTILE: HOSTILE}]
    assert hidden_in(text) == set()


def test_duckdb_restores_bytes_from_their_text() -> None:
    value = bytes(range(256))
    found = duckdb.sql("SELECT ?::VARCHAR, ?::BLOB", params=[value, bytes_text(value)])
    assert found.fetchall() == [(bytes_text(value), value)]


def test_a_table_shows_the_rows_and_their_count() -> None:
    text = printed(Format.TABLE, ["agent", "n"], ["booker", 1], [None, 2])
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert lines[0] == ["agent", "n"]
    assert lines[2:] == [["booker", "1"], ["2"], ["2", "rows"]]


def test_a_wide_table_is_printed_as_one_block_per_row() -> None:
    columns = [f"column_{n}" for n in range(30)]
    text = printed(Format.TABLE, columns, ["x" * 20] * 30, [None] * 29 + ["last"])
    assert "-- row 2" in text
    assert max(len(line) for line in text.splitlines()) <= PIPE_CHARS
    assert text.count("x" * 20) == 30
    assert "last" in text


def test_a_long_value_is_wrapped_and_truncated_in_a_table() -> None:
    text = printed(Format.TABLE, ["a", "b"], ["x" * 300, "y" * 5_000])
    assert max(len(line) for line in text.splitlines()) <= PIPE_CHARS
    assert text.count("x") == 300
    assert text.count("y") == output.TABLE_CELL_CHARS_MAX - 1
    assert "…" in text


def test_a_table_reports_that_it_omits_rows_beyond_the_limit() -> None:
    rows = [[n] for n in range(output.TABLE_ROWS_MAX + 1)]
    text = printed(Format.TABLE, ["n"], *rows)
    assert text.endswith("First 1,000 rows shown; --format json or csv prints all.\n")


def test_a_table_escapes_control_characters() -> None:
    value = "\x1b[2J [bold]x[/bold] \x9b1m \u202e :smile: 👩\u200d💻"
    text = printed(Format.TABLE, ["\x1b]0;t"], [value])
    assert "\\u001b[2J [bold]x[/bold] \\u009b1m \\u202e :smile: 👩\u200d💻" in text
    assert "\\u001b]0;t" in text
    assert not set(text) & set("\x1b\x9b\u202e")


@pytest.mark.process
def test_a_terminal_without_unicode_shows_escapes_and_programs_get_utf_8(
    writer: Writer,
) -> None:
    writer.write(an_event(agent="é😀\x1b", payload={"role": "user", "content": "說"}))
    latin = {"PYTHONIOENCODING": "latin-1", "COLUMNS": "200"}

    def printed_by(*arguments: str) -> bytes:
        return subprocess.check_output(
            [sys.executable, "-P", "-m", "semloop", *arguments],
            env=processes.environment(writer.settings, **latin),
        )

    line = printed_by("tail", "--no-follow")
    assert b"\xe9\\U0001f600\\u001b" in line
    assert b"user: \\u8aaa" in line
    for command in (["tail", "--no-follow"], ["show", "s-1"], ["sql", "FROM events"]):
        rows = json.loads(printed_by(*command, "--format", "json"))
        assert (rows[0] if isinstance(rows, list) else rows)["agent"] == "é😀\x1b"
