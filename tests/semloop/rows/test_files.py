"""Rows that are added to a file are read from it as `add` returns them."""

import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semloop.errors import ConfigError, StorageUnavailable
from semloop.rows.files import RowFile

ENDS = (".csv", ".tsv", ".yaml", ".json", ".jsonl")
# YAML and CSV are text: neither can hold control characters or half a pair.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20
)
TEXTS |= st.sampled_from(
    ["a\nb", 'say "hi", twice', "1", "null", "- x", "2026-11-20", "a;b|c"]
)
VALUES = TEXTS | st.integers(-(2**53), 2**53) | st.booleans() | st.none()


def read(file: RowFile) -> list[dict[str, Any]]:
    return [row for _, row in file.rows()]


@pytest.mark.parametrize("end", ENDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    rows=st.lists(st.fixed_dictionaries({"text": VALUES, "who": VALUES}), max_size=4)
)
def test_added_rows_are_read_as_they_were_returned(
    tmp_path: Path, end: str, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path / f"rows{end}"
    path.unlink(missing_ok=True)
    file = RowFile(path)
    added = [file.add(row) for row in rows]
    assert read(file) == added
    if end not in (".csv", ".tsv"):
        assert added == rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text;who\ntea;ada"),
        ("a.csv", "\ufefftext,who\ntea,ada\n"),
        ("a.yaml", "# notes\n- text: tea\n  who: ada\n"),
        ("a.jsonl", '{"text":"tea","who":"ada"}'),
        ("a.json", '{"_default": {"4": {"text": "tea", "who": "ada"}}}'),
    ],
)
def test_a_row_is_added_to_what_another_program_wrote(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    file = RowFile(tmp_path / name)
    file.add({"text": "milk", "who": "bob"})
    assert read(file) == [{"text": "tea", "who": "ada"}, {"text": "milk", "who": "bob"}]


def test_a_table_of_tinydb_is_named_by_its_rows(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "a.json")
    file.add({"text": "tea"})
    file.add({"text": "milk", "_table": "drinks"})
    assert read(file) == [{"text": "tea"}, {"text": "milk", "_table": "drinks"}]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", "text,text\n1,2", "The first line of a CSV file has the name 'text' twice."),
        ("a.csv", "\n1,2", "The first line of a CSV file has no names."),
        ("a.csv", 'text\n"open', "cannot be read"),
        ("a.csv", b"text\n\xff\xfe", "no valid text"),
        ("a.yaml", "- text: [", "it is no valid YAML at line"),
        ("a.yaml", "- a: !!int SECRET", "it is no valid YAML: a value is not of the type"),
        ("a.yaml", "1: a\n'1': b", "a row has two names that are the same text"),
        ("a.yaml", "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                   "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                   "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
         "a row has over 1,000,000 values"),
        ("a.yaml", "a: &a [*a]", "a row is nested too deeply"),
        ("a.yaml", "a: !!python/object/apply:os.getcwd []", "it is no valid YAML at line 1"),
        ("a.json", "[1]", "it does not hold the tables of TinyDB"),
        ("a.json", "[]", "it does not hold the tables of TinyDB"),
        ("a.json", "null", "it does not hold the tables of TinyDB"),
        ("a.json", "{", "cannot be read"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: str | bytes, what: str
) -> None:
    raw = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(ConfigError) as failure:
        read(RowFile(tmp_path / name))
    assert what in failure.value.what


def test_a_column_that_a_csv_file_has_not_is_refused(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "a.csv")
    file.add({"text": "tea"})
    with pytest.raises(ConfigError) as failure:
        file.add({"text": "tea", "who": "ada"})
    assert "has no column 'who'" in failure.value.what
    assert failure.value.todo == "Its columns are: text."
    assert read(file) == [{"text": "tea"}]


@pytest.mark.parametrize(
    ("end", "value"),
    [(".yaml", object()), (".json", object()), (".jsonl", object()), (".csv", object()),
     (".json", float("nan")), (".csv", "\ud800"), (".jsonl", "\ud800"),
     (".json", "\ud800"), (".yaml", "\ud800")],
)  # fmt: skip
def test_a_value_that_a_file_cannot_hold_changes_nothing(
    tmp_path: Path, end: str, value: object
) -> None:
    file = RowFile(tmp_path / f"a{end}")
    file.add({"text": "tea"})
    with pytest.raises(ConfigError) as failure:
        file.add({"text": value})
    assert "A value of the row cannot be written" in failure.value.what
    assert read(file) == [{"text": "tea"}]


@pytest.mark.parametrize(
    "content",
    ["---\ntext: tea\n", "text: tea\n", "  - text: tea\n", "[{text: tea}]\n",
     "- text: tea\n...\n"],
)  # fmt: skip
def test_a_form_of_yaml_to_which_no_row_can_be_added_is_left_as_it_is(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ConfigError, match="has a form to which no row can be added"):
        RowFile(tmp_path / "a.yaml").add({"text": "milk"})
    assert (tmp_path / "a.yaml").read_text() == content


@pytest.mark.parametrize("row", [{}, "text", [1], None])
@pytest.mark.parametrize("end", ENDS)
def test_what_is_no_row_is_refused_and_makes_no_file(
    tmp_path: Path, end: str, row: Any
) -> None:
    with pytest.raises(ConfigError, match="A row is a mapping of names to values"):
        RowFile(tmp_path / f"a{end}").add(row)
    assert not (tmp_path / f"a{end}").exists()


def test_half_a_line_and_a_mark_cost_no_other_row(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"text":"tea"}\n[1]\n{"text":"mi'
    (tmp_path / "a.jsonl").write_bytes(content)
    assert read(RowFile(tmp_path / "a.jsonl")) == [{"text": "tea"}, {}, {}]


@pytest.mark.parametrize("name", ["a.txt", "a.csv.gz", "a"])
def test_another_kind_of_file_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no file that rows can be added to"):
        RowFile(name)


@pytest.mark.parametrize("names", [["a", " a"], [""], [" a"], [1], ["a\nb"], ["sep=;"]])
def test_names_that_csv_cannot_give_back_are_refused(
    tmp_path: Path, names: list[Any]
) -> None:
    with pytest.raises(ConfigError):
        RowFile(tmp_path / "a.csv").add(dict.fromkeys(names, "tea"))
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("end", [".yaml", ".json", ".jsonl", ".csv"])
def test_text_that_is_no_utf_8_makes_no_file(tmp_path: Path, end: str) -> None:
    with pytest.raises(ConfigError):
        RowFile(tmp_path / f"a{end}").add({"text": "\ud800"})
    assert not (tmp_path / f"a{end}").exists()


@pytest.mark.parametrize("end", ENDS)
def test_a_full_disk_leaves_the_rows_that_were_there(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"a{end}"
    RowFile(path).add({"text": "tea"})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, limits[1]))
        with pytest.raises(StorageUnavailable, match="cannot be written"):
            RowFile(path).add({"text": "milk" * 50})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert read(RowFile(path)) == [{"text": "tea"}]
    RowFile(path).add({"text": "milk"})
    assert read(RowFile(path)) == [{"text": "tea"}, {"text": "milk"}]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_delimiter_in_quotes_separates_nothing(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "a.csv")
    file.add({"a;b;c;d": "tea", "who": "ada"})
    assert read(file) == [{"a;b;c;d": "tea", "who": "ada"}]
