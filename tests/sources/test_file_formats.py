"""The format of a file is recognized by its first values; an unknown one is refused."""

import codecs
import gzip
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from schemas.lines import Record, TooLong
from semloop.errors import ConfigError
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from tests.sources.line_files import (
    CHAT,
    a_file,
    an_event,
    failure_of,
    give_stdin,
    values,
)


def recognized(path: str) -> tuple[str, int]:
    """Return the title of a file's format, and how many records it has."""
    reading = Reading(path, "auto", Options(), Ledger())
    count = sum(1 for _ in reading.records())
    assert reading.why
    return reading.title, count


def framed(content: bytes) -> bytes:
    """Pack bytes as a file of zstd, with its frame."""
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return bytes(out.getvalue())


@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        framed,
        lambda b: codecs.BOM_UTF8 + b,
        lambda b: b.decode().encode("utf-16"),
        lambda b: codecs.BOM_UTF16_BE + b.decode().encode("utf-16-be"),
        lambda b: gzip.compress(b.decode().encode("utf-16")),
    ],
    ids=["plain", "gzip", "zstd", "mark", "utf-16", "utf-16-be", "utf-16 in gzip"],
)
@pytest.mark.parametrize("layout", ["lines", "array", "indented", "indented array"])
def test_every_packing_and_layout_gives_the_same(
    tmp_path: Path, pack: type[bytes], layout: str
) -> None:
    chats = [CHAT.replace(b"c1", b"c%d" % n) for n in range(3)]
    content = {
        "lines": b"\n".join(chats),
        "array": b"[" + b", ".join(chats) + b"]",
        "indented": b"\n".join(msgspec.json.format(chat) for chat in chats),
        "indented array": msgspec.json.format(b"[" + b",".join(chats) + b"]") + b"\n",
    }[layout]
    path = a_file(tmp_path, pack(content))
    assert recognized(path) == ("chats in OpenAI's form", 6)
    assert values(path, "auto") == values(a_file(tmp_path, b"\n".join(chats)), "chat")


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
    assert error.what == f"{name} contains chats in OpenAI's form, not events."
    assert error.todo == "Import it with `--format chat`."
    path, name = given(an_event())
    error = failure_of(path, "chat")
    assert error.what == f"{name} contains events, not chats in OpenAI's form."
    assert error.todo == "Import it with `--format events`."


@pytest.mark.parametrize(
    ("content", "kind", "what"),
    [
        (b'{"a":1}\n{"a":2}', "auto", "has no known format."),
        (b'{"a":1}\n{"a":2}', "chat", "does not contain chats in OpenAI's form."),
        (b'{"a":1}\nnonsense', "events", "No value of"),
        (b'[{"a":1}]', "auto", "has no known format."),
        (b"\x89PNG\r\n\x1a\n\x00", "auto", "contains binary data."),
        (b"\x89PNG\r\n\x1a\n\x00", "events", "contains binary data."),
        (gzip.compress(b"PK\0\0", mtime=0), "chat", "contains binary data."),
    ],
)
def test_a_file_of_no_known_format_is_refused_as_a_whole(
    tmp_path: Path, content: bytes, kind: str, what: str
) -> None:
    error = failure_of(a_file(tmp_path, content), kind)
    assert what in error.what
    if "binary" not in what:
        assert "nown formats are: events, " in error.todo


def test_an_array_that_is_cut_off_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    path = a_file(tmp_path, b"[" + CHAT + b"," + CHAT[:-9])
    reading = Reading(path, "auto", Options(), Ledger())
    found: list[Record | TooLong] = []
    with pytest.raises(ConfigError):
        found.extend(reading.records())
    assert [record.line for record in found] == [1, 1]
    error = failure_of(path, "auto")
    assert error.what.endswith(", after line 1: it ends inside an array.")


def test_what_follows_an_array_is_not_dropped_silently(tmp_path: Path) -> None:
    path = a_file(tmp_path, b"[\n" + CHAT + b"\n]\n" + CHAT)
    assert "more follows after its array" in failure_of(path, "auto").what


def test_broken_values_are_produced_as_they_are(tmp_path: Path) -> None:
    ledger = Ledger()
    path = a_file(tmp_path, b"[" + CHAT + b',{"a":},' + CHAT + b"]")
    reading = Reading(path, "auto", Options(), ledger)
    found = [record for record in reading.records() if isinstance(record, Record)]
    assert [record.value for record in found if not record.is_event] == [b'{"a":}']
    assert ledger.unreadable == 1


def test_a_nul_in_a_broken_line_does_not_make_a_file_binary(tmp_path: Path) -> None:
    path = a_file(tmp_path, b"\0\n" + an_event())
    assert values(path, "events") == [b"\0", an_event()]


def test_broken_first_lines_do_not_hide_the_format(tmp_path: Path) -> None:
    path = a_file(tmp_path, b"x\n" + CHAT)
    assert recognized(path) == ("chats in OpenAI's form", 3)
