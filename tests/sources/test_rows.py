"""Rows of CSV, YAML, TinyDB and JSON files are read as events."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.lines import Record
from semloop.errors import ConfigError
from semloop.rows.columns import Columns
from semloop.rows.files import RowFile
from semloop.rows.row_event import RowEvents
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading

AT = datetime(2026, 11, 20, tzinfo=UTC)
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=5
)
ROW = st.fixed_dictionaries({"text": TEXTS, "who": TEXTS | st.integers(0, 3)})


def read(
    path: Path, form: str = "auto", ledger: Ledger | None = None, **columns: str
) -> list[Record]:
    """Return the records of a file."""
    chosen = Options(columns=Columns(columns), file_time=AT, agent="bot")
    options = replace(chosen, store="notes", where=f"'{path.name}'")
    found = list(Reading(str(path), form, options, ledger or Ledger()).records())
    assert all(isinstance(record, Record) for record in found)
    return [record for record in found if isinstance(record, Record)]


def events(path: Path, form: str = "auto", **columns: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(r.value) for r in read(path, form, None, **columns)]


def contents(path: Path, form: str = "auto", **columns: str) -> list[str]:
    return [event["payload"]["content"] for event in events(path, form, **columns)]


@pytest.mark.parametrize("end", [".csv", ".yaml", ".json", ".jsonl"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(rows=st.lists(ROW, min_size=1, max_size=6))
def test_an_import_gives_the_ids_that_the_rows_had_when_they_were_written(
    tmp_path: Path, end: str, rows: list[Mapping[str, Any]]
) -> None:
    path = tmp_path / f"notes{end}"
    path.unlink(missing_ok=True)
    file, made = RowFile(path), RowEvents("notes", Columns({}), "bot")
    written = [e.id for row in rows if (e := made.event_of(file.add(row)))]
    form = "rows" if end == ".jsonl" else "auto"
    assert [record.idempotency_key for record in read(path, form)] == written


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,when\ntea,1763636400\nmilk,2026-11-20 10:00"),
        ("a.csv", 'text;when\r\n"tea";1763636400\r\nmilk;2026-11-20T10:00:00Z\r\n'),
        ("a.tsv", "text\twhen\ntea\t1763636400\nmilk\t2026-11-20T10:00:00Z\n"),
        ("a.yaml", "- {text: tea, when: 1763636400}\n- text: milk\n  when: 2026-11-20T10:00:00Z"),
        ("a.yml", "text: tea\nwhen: 1763636400\n---\ntext: milk\nwhen: 2026-11-20 10:00:00\n"),
        ("a.json", '{"_default": {"1": {"text": "tea", "when": 1763636400}}, '
                   '"t": {"1": {"text": "milk", "when": "2026-11-20T10:00"}}}'),
    ],
)  # fmt: skip
def test_each_kind_of_file_is_recognized_and_has_its_times(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    found = events(tmp_path / name)
    assert [e["payload"]["content"] for e in found] == ["tea", "milk"]
    times = [e["timestamp"] for e in found]
    assert times == ["2025-11-20T11:00:00Z", "2026-11-20T10:00:00Z"]


def test_rows_without_a_time_follow_the_row_before_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,session\na,1\nb,2\nc,1\n")
    assert [(e["timestamp"], e["meta"]["session_id"]) for e in events(tmp_path / "a.csv")] == [
        ("2026-11-20T00:00:00Z", "1"),
        ("2026-11-20T00:00:00Z", "2"),
        ("2026-11-20T00:00:00.000001Z", "1"),
    ]  # fmt: skip


def test_a_file_whose_name_says_nothing_is_read_as_the_user_says(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.txt").write_text("text\ntea\n")
    assert contents(tmp_path / "a.txt", "csv") == ["tea"]
    (tmp_path / "a.jsonl").write_text('{"a": {"b": "tea"}}\n')
    assert contents(tmp_path / "a.jsonl", "auto", content="a.b") == ["tea"]
    with pytest.raises(ConfigError, match="has no known format"):
        read(tmp_path / "a.jsonl")


def test_transcripts_in_yaml_are_transcripts(tmp_path: Path) -> None:
    chat = "- id: c1\n  messages:\n  - {role: user, content: tea}\n"
    (tmp_path / "a.yaml").write_text(chat)
    assert contents(tmp_path / "a.yaml") == ["tea"]
    assert events(tmp_path / "a.yaml")[0]["meta"]["session_id"] == "c1"


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_a_column_that_does_not_exist_is_refused_before_anything_is_made(
    tmp_path: Path, name: str
) -> None:
    content = (
        "text,who\ntea,ada\n" if name == "a.csv" else '{"t": {"1": {"text": "tea"}}}'
    )
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError) as failure:
        read(tmp_path / name, content="txt")
    assert failure.value.what == f"'{name}' has no column 'txt'."
    assert failure.value.todo.startswith("Its columns are: text")


def test_a_column_that_no_row_has_is_named_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "tea"}\n')
    ledger = Ledger()
    read(tmp_path / "a.jsonl", "rows", ledger, error="oops")
    assert "'a.jsonl': no row has a column 'oops'." in ledger.remarks


def test_every_row_is_an_event_a_dead_letter_or_counted(tmp_path: Path) -> None:
    lines = ['{"text": "tea"}', "[1]", '{"stars": 5}', "no json", '{"tool": "\\ud800"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    ledger = Ledger()
    found = read(tmp_path / "a.jsonl", "rows", ledger)
    assert [record.is_event for record in found] == [True, False, False]
    assert (ledger.met, ledger.events, ledger.unreadable) == (5, 1, 2)
    assert ledger.left_out == {
        ("value", "is no object"): 1,
        ("row", "without content, tool, outcome or reward"): 1,
    }


@pytest.mark.parametrize(
    "value", ["!!set {a: null}", "!!binary dGVh", ".nan", ".inf", "2026-11-20"]
)
def test_a_value_of_yaml_that_json_has_not_loses_no_row(
    tmp_path: Path, value: str
) -> None:
    (tmp_path / "a.yaml").write_text(f"- text: tea\n  more: {value}\n")
    ledger = Ledger()
    assert len(read(tmp_path / "a.yaml", "auto", ledger)) == 1
    assert ledger.events == 1


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", b"text\ntea\n\xff\n", "'a.csv' is no valid text, after line 2."),
        ("a.csv", b'text\ntea\n"open\n', "'a.csv' cannot be read, after line 2: it is no valid CSV at line 3."),
        ("a.yaml", b"- text: tea\n- [", "'a.yaml' cannot be read: it is no valid YAML at line 3."),
        ("a.csv", b"", "The first line of a CSV file has no names."),
    ],
)  # fmt: skip
def test_a_file_that_is_damaged_says_where(
    tmp_path: Path,
    name: str,
    content: bytes,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    with pytest.raises(ConfigError) as failure:
        read(Path(name))
    assert failure.value.what == what


def test_two_files_of_one_store_are_not_mixed(tmp_path: Path) -> None:
    options = Options(store="notes", agent="bot", where="'a.csv'")
    (tmp_path / "a.csv").write_text("text\ntea\n")
    list(Reading(str(tmp_path / "a.csv"), "auto", options, Ledger()).records())
    other = replace(options, where="'b.csv'")
    with pytest.raises(ConfigError) as failure:
        list(Reading(str(tmp_path / "a.csv"), "auto", other, Ledger()).records())
    assert failure.value.what == "'b.csv' and 'a.csv' are both the store 'notes'."


def test_columns_of_transcripts_cannot_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "a"}]}\n'
    )
    with pytest.raises(ConfigError, match="contains chats in OpenAI's form; --map is"):
        read(tmp_path / "a.jsonl", content="text")
    # As rows they may be.
    assert read(tmp_path / "a.jsonl", "rows", content="messages")


@pytest.mark.parametrize("when", ["20.11.2026 09:00", "202611200900", "soon"])
def test_a_time_that_cannot_be_read_is_reported(tmp_path: Path, when: str) -> None:
    (tmp_path / "a.csv").write_text(f"text,date\ntea,{when}\n")
    ledger = Ledger()
    (record,) = read(tmp_path / "a.csv", "auto", ledger)
    assert msgspec.json.decode(record.value)["timestamp"] == "2026-11-20T00:00:00Z"
    assert any("a time that cannot be read" in line for line in ledger.remarks)


def test_a_name_that_cannot_be_used_makes_a_dead_letter_with_a_hint(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "tea", "user": {"id": "ann"}}\n')
    ledger = Ledger()
    (record,) = read(tmp_path / "a.jsonl", "rows", ledger)
    assert not record.is_event
    assert any("--map user=COLUMN" in line for line in ledger.remarks)
    (record,) = read(tmp_path / "a.jsonl", "rows", None, user="user.id")
    assert msgspec.json.decode(record.value)["meta"]["user_id"] == "ann"


@pytest.mark.parametrize(
    "content",
    [
        "text,who,,\ntea,ada,,\n",
        "sep=;\ntext;who\ntea;ada\n",
        "text,who\r\ntea,ada\r\n",
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode())
    (event,) = events(tmp_path / "a.csv")
    assert event["payload"]["source"] == {"who": "ada"}
