"""`semloop redact`: a list of replacements, or the redacted text."""

import io
import json
import re
from pathlib import Path

import pytest

from tests.cli.helpers import Semloop

TEXT = (
    "write to ann@x.org\npassword: S3cr3tPw9, more\n"
    '{"token": "a1b2c3d4", "x": 1}\nlast line without an end'
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "notes.txt"
    path.write_text(TEXT)
    return path


def test_it_lists_line_rule_text_and_pseudonym(file: Path, semloop: Semloop) -> None:
    code, out, err = semloop.run("redact", str(file), "--format", "json")
    assert (code, err) == (0, "")
    rows = [(row["line"], row["rule"], row["text"]) for row in json.loads(out)]
    assert rows == [
        (1, "form of email", "ann@x.org"),
        (2, "value after a name", "S3cr3tPw9"),
        (3, "value of a name", "a1b2c3d4"),
    ]
    assert not list(file.parent.glob(".semloop*"))


def test_it_prints_the_redacted_text_from_stdin(
    file: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(TEXT.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    code, out, err = semloop.run("redact", "-", "--text")
    assert (code, err) == (0, "")
    found = re.findall(r"<\w+:\w{12}>", out)
    assert [name.split(":")[0] for name in found] == ["<email", "<password", "<token"]
    rest = re.sub(r"<\w+:\w{12}>", "", out)
    assert rest == re.sub("ann@x.org|S3cr3tPw9|a1b2c3d4", "", TEXT)


def test_it_follows_the_settings(
    file: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_REDACT", "keys")
    monkeypatch.setenv("SEMLOOP_REDACT_ALLOW", "a1b2*")
    _, out, _ = semloop.run("redact", str(file), "--format", "csv")
    assert [line.split(",")[2] for line in out.splitlines()[1:]] == ["S3cr3tPw9"]


def test_a_text_without_private_content_is_reported(
    file: Path, semloop: Semloop
) -> None:
    file.write_text("nothing here")
    code, out, err = semloop.run("redact", str(file))
    assert (code, out) == (0, "")
    assert err == "Nothing in this text is private by the rules of `redact`.\n"


def test_a_missing_file_is_reported_in_two_lines(file: Path, semloop: Semloop) -> None:
    code, out, err = semloop.run("redact", "missing.txt")
    assert (code, out) == (1, "")
    assert err.startswith("The file missing.txt cannot be read: ")
    assert err.count("\n") == 2
