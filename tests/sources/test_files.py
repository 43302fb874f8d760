"""Files, compressed files and standard input; what cannot be read is reported."""

import gzip
import sys
from pathlib import Path

import pytest

from semloop.errors import ConfigError
from tests.sources.line_files import (
    a_file,
    an_event,
    failure_of,
    give_stdin,
    read_records,
    values,
)


def test_gzip_is_detected_by_content(tmp_path: Path) -> None:
    twice = gzip.compress(an_event() + b"\nx\n") + gzip.compress(b"y")
    assert values(a_file(tmp_path, twice)) == [an_event(), b"x", b"y"]
    assert values(a_file(tmp_path, an_event(), "plain.gz")) == [an_event()]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_stdin_is_read_and_left_open(
    monkeypatch: pytest.MonkeyPatch, pack: type[bytes]
) -> None:
    stream = give_stdin(monkeypatch, pack(b"\n" + an_event() + b"\nx"))
    assert values("-") == [an_event(), b"x"]
    assert not stream.closed


def test_stdin_that_is_a_pipe_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(a_file(tmp_path, an_event()), encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert values("-") == [an_event()]
        assert not stream.closed


def test_closed_stdin_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert failure_of("-").what == "Standard input cannot be read: it is closed."


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert values(a_file(tmp_path, b"")) == []
    assert values(a_file(tmp_path, gzip.compress(b""))) == []
    assert values(a_file(tmp_path, b"\n\n")) == []


def test_a_path_that_cannot_be_opened_is_reported_in_one_line(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.jsonl")
    assert failure_of(missing).what == f"{missing!r} does not exist."
    assert (
        failure_of(str(tmp_path)).what == f"{str(tmp_path)!r} is a folder, not a file."
    )
    assert "cannot be read" in failure_of("a\0b").what


def test_an_unreadable_file_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert failure_of("x").what == "'x' cannot be read: Permission denied."


def lines_before_failure(path: str) -> tuple[list[int], str]:
    lines = []
    try:
        for record in read_records(path, "events"):
            lines.append(record.line)
    except ConfigError as error:
        return lines, error.what
    return lines, "no failure"


def test_truncated_gzip_returns_its_lines_and_reports_where_it_ends(
    tmp_path: Path,
) -> None:
    lines = b"".join(an_event(n) + b"\n" for n in range(50_000))
    compressed = gzip.compress(lines)
    path = a_file(tmp_path, compressed[: len(compressed) // 2])
    found, what = lines_before_failure(path)
    assert len(found) > 1000
    assert found == list(range(1, len(found) + 1))
    assert what == f"{path!r}: its gzip data ends too early, after line {found[-1]}."


def test_damaged_gzip_returns_its_lines_and_reports_where_it_breaks(
    tmp_path: Path,
) -> None:
    path = a_file(tmp_path, gzip.compress(an_event() + b"\nb\n") + b"garbage")
    assert lines_before_failure(path) == (
        [1, 2], f"{path!r}: its gzip data is damaged, after line 2.",
    )  # fmt: skip
    path = a_file(tmp_path, b"\x1f\x8bnonsense")
    assert lines_before_failure(path) == (
        [], f"{path!r}: its gzip data is damaged, in its first line.",
    )  # fmt: skip
