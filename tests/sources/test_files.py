"""Lines of files and stdin: every line becomes a record, and none stops the import."""

import gzip
import io
import sys
import uuid
from pathlib import Path

import msgspec
import pytest

from schemas.lines import Record, TooLong
from semloop.errors import ConfigError
from sources.transcripts import lines
from sources.transcripts.lines import Format, guess_format, read_records

CHAT = (
    b'{"id":"c1","agent":"a","created_at":"2026-01-02T03:04:05Z","reward":1,'
    b'"messages":[{"role":"user","content":"hi"}]}'
)


def an_event(number: int = 1, session: str = "s1") -> bytes:
    event = {
        "id": str(uuid.UUID(int=number)),
        "type": "message",
        "timestamp": "2026-01-02T03:04:05Z",
        "agent": "a",
        "payload": {"role": "user", "content": "hi"},
        "meta": {"session_id": session},
    }
    return msgspec.json.encode(event)


def a_file(folder: Path, content: bytes, name: str = "in.jsonl") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def records_of(path: str, kind: Format = "events") -> list[Record]:
    found = list(read_records(path, kind))
    return [record for record in found if isinstance(record, Record)]


def values(path: str, kind: Format = "events") -> list[bytes]:
    return [record.value for record in records_of(path, kind)]


def give_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> io.BytesIO:
    stream = io.BytesIO(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    return stream


def failure_of(path: str, kind: Format = "events") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        list(read_records(path, kind))
    assert "\n" not in caught.value.what
    assert caught.value.todo
    return caught.value


def test_events_are_kept_byte_for_byte_with_their_line_and_key(tmp_path: Path) -> None:
    spaced = an_event(2, session="é").replace(b":", b" : ") + b"  "
    path = a_file(tmp_path, an_event() + b"\r\n\n \t\r\n" + spaced + b"\n" + b"x")
    first, second, third = records_of(path)
    assert (first.line, first.key, first.value) == (1, b"s1", an_event())
    assert (second.line, second.key, second.value) == (4, "é".encode(), spaced)
    assert (third.line, third.key, third.value) == (5, None, b"x")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        pytest.param(b'{"meta":{"session_id":"s9"},"id":5}', b"s9", id="readable"),
        pytest.param(b'{"meta":{"session_id":""}}', None, id="empty"),
        pytest.param(b'{"meta":{"session_id":9}}', None, id="number"),
        pytest.param(b'{"meta":{"session_id":"s9"}', None, id="cut off"),
        pytest.param(b'{"meta":{"session_id":"\\ud800"}}', None, id="half a surrogate"),
        pytest.param(b'{"meta":{"session_id":"\xff"}}', None, id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf" + an_event(), None, id="byte-order mark"),
        pytest.param(b"[" * 9999, None, id="too deep"),
        pytest.param(b"\x00", None, id="NUL"),
    ],
)
def test_a_broken_line_is_kept_with_its_readable_key(
    tmp_path: Path, line: bytes, key: bytes | None
) -> None:
    # On the second line, since the first one determines the format of the file.
    _, record = records_of(a_file(tmp_path, b"{}\n" + line + b"\n"))
    assert (record.key, record.value) == (key, line)


def test_same_broken_line_twice_has_two_ids_and_the_same_in_each_import(
    tmp_path: Path,
) -> None:
    path = a_file(tmp_path, b"broken\nother\n\nbroken\r\n")
    idempotency_keys = [record.idempotency_key for record in records_of(path)]
    assert len(set(idempotency_keys)) == 3
    assert [record.idempotency_key for record in records_of(path)] == idempotency_keys
    assert {
        str(uuid.UUID(idempotency_key)) for idempotency_key in idempotency_keys
    } == set(idempotency_keys)


def test_broken_lines_keep_their_ids_when_the_file_grows(tmp_path: Path) -> None:
    before = records_of(a_file(tmp_path, b"x\nx\n"))
    after = records_of(a_file(tmp_path, an_event() + b"\nx\ny\nx\nx\n"))
    assert {r.idempotency_key for r in before} < {r.idempotency_key for r in after}


def test_event_without_its_payload_counts_as_broken(tmp_path: Path) -> None:
    line = an_event().replace(b'"content"', b'"text"')
    first, second = records_of(a_file(tmp_path, line + b"\n" + line))
    assert first.idempotency_key != second.idempotency_key
    assert first.key == second.key == b"s1"


def test_memory_for_broken_lines_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BROKEN_LINES_MAX", 2)
    path = a_file(tmp_path, b"a\nb\nc\nc\na\nb\n")
    idempotency_keys = [record.idempotency_key for record in records_of(path)]
    assert len(set(idempotency_keys)) == 6
    assert [record.idempotency_key for record in records_of(path)] == idempotency_keys


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"], ids=["end", "LF", "CRLF"])
def test_only_a_line_over_the_limit_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES_MAX", 100)
    monkeypatch.setattr(lines, "_PIECE_BYTES", 16)
    just, over, far = b"a" * 100, b"b" * 101, b"c" * 1000
    path = a_file(tmp_path, b"\n".join([far, just, over, b"x", just]) + ending)
    found = list(read_records(path, "events"))
    assert [type(k) for k in found] == [TooLong, Record, TooLong, Record, Record]
    assert found[0] == TooLong(1, 1001)
    assert found[2] == TooLong(3, 102)
    assert [r.line for r in found] == [1, 2, 3, 4, 5]
    path = a_file(tmp_path, b"x\n" + over + ending)
    assert [r.line for r in read_records(path, "events")] == [1, 2]
    assert isinstance(list(read_records(path, "events"))[1], TooLong)


def test_a_line_of_4_mib_is_accepted(tmp_path: Path) -> None:
    (found,) = read_records(a_file(tmp_path, b"a" * 2**22 + b"\r\n"), "events")
    assert isinstance(found, Record)
    (left,) = read_records(a_file(tmp_path, b"a" * (2**22 + 1) + b"\r\n"), "events")
    assert left == TooLong(1, 2**22 + 3)


def test_gzip_is_detected_by_content(tmp_path: Path) -> None:
    twice = gzip.compress(an_event() + b"\nx\n") + gzip.compress(b"y")
    assert values(a_file(tmp_path, twice)) == [an_event(), b"x", b"y"]
    assert values(a_file(tmp_path, b"x\n", "plain.gz")) == [b"x"]


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
    compressed = gzip.compress(b"".join(b"line %d\n" % n for n in range(5000)))
    path = a_file(tmp_path, compressed[: len(compressed) // 2])
    lines, what = lines_before_failure(path)
    assert len(lines) > 1000
    assert lines == list(range(1, len(lines) + 1))
    assert what == f"{path!r}: its gzip data ends too early, after line {lines[-1]}."


def test_damaged_gzip_returns_its_lines_and_reports_where_it_breaks(
    tmp_path: Path,
) -> None:
    path = a_file(tmp_path, gzip.compress(b"a\nb\n") + b"garbage")
    assert lines_before_failure(path) == (
        [1, 2], f"{path!r}: its gzip data is damaged, after line 2.",
    )  # fmt: skip
    path = a_file(tmp_path, b"\x1f\x8bnonsense")
    assert lines_before_failure(path) == (
        [], f"{path!r}: its gzip data is damaged, in its first line.",
    )  # fmt: skip


def test_chat_becomes_records_of_its_session(tmp_path: Path) -> None:
    first, second = records_of(a_file(tmp_path, b"\n" + CHAT), "chat")
    assert (first.line, first.key, second.line, second.key) == (2, b"c1", 2, b"c1")
    assert first.idempotency_key == msgspec.json.decode(first.value)["id"]


def test_a_line_that_is_not_a_chat_is_kept_unchanged(tmp_path: Path) -> None:
    bad = CHAT.replace(b"user", b"robot")
    found = records_of(a_file(tmp_path, bad + b"\n" + CHAT + b"\n" + bad), "chat")
    assert [r.value == bad for r in found] == [True, False, False, True]
    assert found[0].idempotency_key != found[3].idempotency_key


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
