"""The format of a file is guessed from its first line; another one is rejected."""

import gzip
from pathlib import Path

import pytest

from sources.transcripts.lines import guess_format
from tests.sources.line_files import (
    CHAT,
    a_file,
    an_event,
    failure_of,
    give_stdin,
    values,
)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        pytest.param(an_event(), "events", id="event"),
        pytest.param(CHAT, "chat", id="chat"),
        pytest.param(b'{"payload":1,"meta":2,"messages":[]}', "events", id="both"),
        pytest.param(b'{"payload":1,"messages":[]}', None, id="neither"),
        pytest.param(b'{"messages":{}}', None, id="messages are not a list"),
        pytest.param(b'{"id":1}', None, id="something else"),
        pytest.param(b"[]", None, id="not an object"),
        pytest.param(b"\xff", None, id="not text"),
    ],
)
def test_the_format_is_guessed_from_a_line(line: bytes, kind: str | None) -> None:
    assert guess_format(line) == kind


@pytest.mark.parametrize("by_stdin", [True, False], ids=["stdin", "file"])
def test_a_file_of_the_other_format_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_stdin: bool
) -> None:
    def given(content: bytes) -> tuple[str, str]:
        if not by_stdin:
            path = a_file(tmp_path, content)
            return path, repr(path)
        give_stdin(monkeypatch, content)
        return "-", "Standard input"

    path, name = given(b"\n" + CHAT)
    error = failure_of(path, "events")
    assert error.what == f"{name} contains chat transcripts, not events."
    assert error.todo == "Import it with `--format chat`."
    path, name = given(an_event())
    error = failure_of(path, "chat")
    assert error.what == f"{name} contains events, not chat transcripts."
    assert error.todo == "Import it with `--format events`."


@pytest.mark.parametrize(
    ("content", "what", "todo"),
    [
        # No timestamps: pytest-xdist workers must agree on the test ids.
        (b"[" + an_event() + b"]", "contains one JSON array", "jq -c '.[]' FILE |"),
        (b"\n [\n", "contains one JSON array", "semloop import - --format events"),
        (b'{\n  "id": 1\n}\n', "contains JSON over several lines", "jq -c '.' FILE |"),
        (b"\x89PNG\r\n\x1a\n\x00", "contains binary data", "Give a file of JSON"),
        (an_event().decode().encode("utf-16"), "text that is not UTF-8", "Give a file"),
        (an_event().decode().encode("utf-16-le"), "that is not UTF-8", "Give a file"),
        (
            gzip.compress(b"PK\0\0", mtime=0),
            "contains binary data",
            "Give a file of JSON lines",
        ),
    ],
)
def test_a_file_that_is_not_json_lines_is_rejected(
    tmp_path: Path, content: bytes, what: str, todo: str
) -> None:
    error = failure_of(a_file(tmp_path, content), "events")
    assert what in error.what
    assert todo in error.todo


def test_a_nul_in_a_broken_line_does_not_make_a_file_binary(tmp_path: Path) -> None:
    path = a_file(tmp_path, b"\0\n" + an_event())
    assert values(path, "events") == [b"\0", an_event()]


def test_only_the_first_line_determines_the_format(tmp_path: Path) -> None:
    path = a_file(tmp_path, b"x\n" + CHAT)
    assert values(path, "events") == [b"x", CHAT]
