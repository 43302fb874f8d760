"""Every line becomes a record with a key and an id, also a broken one or one too long."""

import uuid
from pathlib import Path

import msgspec
import pytest

from schemas.lines import Record, TooLong
from sources.transcripts import events as lines
from tests.sources.line_files import CHAT, a_file, an_event, read_records, records_of

# Makes a file of broken lines one of events; without any event it is refused.
EVENT = b"\n" + an_event(99)


def broken_file(folder: Path, content: bytes) -> list[Record]:
    """Read broken lines of a file that ends with an event; return these."""
    *found, last = records_of(a_file(folder, content + EVENT))
    assert last.is_event
    assert not any(record.is_event for record in found)
    return found


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
    _, record = broken_file(tmp_path, b"{}\n" + line)
    assert (record.key, record.value) == (key, line)


def test_same_broken_line_twice_has_two_ids_and_the_same_in_each_import(
    tmp_path: Path,
) -> None:
    content = b"broken\nother\n\nbroken\r\n"
    idempotency_keys = [r.idempotency_key for r in broken_file(tmp_path, content)]
    assert len(set(idempotency_keys)) == 3
    again = broken_file(tmp_path, content)
    assert [record.idempotency_key for record in again] == idempotency_keys
    assert {
        str(uuid.UUID(idempotency_key)) for idempotency_key in idempotency_keys
    } == set(idempotency_keys)


def test_broken_lines_keep_their_ids_when_the_file_grows(tmp_path: Path) -> None:
    before = broken_file(tmp_path, b"x\nx")
    after = records_of(a_file(tmp_path, an_event() + b"\nx\ny\nx\nx\n"))
    assert {r.idempotency_key for r in before} < {r.idempotency_key for r in after}


def test_event_without_its_payload_counts_as_broken(tmp_path: Path) -> None:
    line = an_event().replace(b'"content"', b'"text"')
    first, second = broken_file(tmp_path, line + b"\n" + line)
    assert first.idempotency_key != second.idempotency_key
    assert first.key == second.key == b"s1"


def test_memory_for_broken_lines_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BROKEN_LINES_MAX", 2)
    content = b"a\nb\nc\nc\na\nb"
    idempotency_keys = [r.idempotency_key for r in broken_file(tmp_path, content)]
    assert len(set(idempotency_keys)) == 6
    again = broken_file(tmp_path, content)
    assert [record.idempotency_key for record in again] == idempotency_keys


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"], ids=["end", "LF", "CRLF"])
def test_only_a_line_over_the_limit_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES_MAX", 300)
    just, over, far = b"a" * 300, b"b" * 301, b"c" * 1000
    path = a_file(tmp_path, b"\n".join([an_event(), far, just, over, just]) + ending)
    _, *found = read_records(path)
    assert [type(k) for k in found] == [TooLong, Record, TooLong, Record]
    assert found[0] == TooLong(2, 1000)
    assert [r.line for r in found] == [2, 3, 4, 5]


def test_a_line_of_4_mib_is_accepted(tmp_path: Path) -> None:
    (found,) = broken_file(tmp_path, b"a" * 2**22 + b"\r")
    assert len(found.value) == 2**22
    path = a_file(tmp_path, an_event() + b"\n" + b"a" * (2**22 + 1) + b"\r\n")
    _, left = read_records(path)
    assert left == TooLong(2, 2**22 + 1)


def test_chat_becomes_records_of_its_session(tmp_path: Path) -> None:
    first, second = records_of(a_file(tmp_path, b"\n" + CHAT), "chat")
    assert (first.line, first.key, second.line, second.key) == (2, b"c1", 2, b"c1")
    assert first.idempotency_key == msgspec.json.decode(first.value)["id"]


def test_a_line_that_is_no_json_is_kept_unchanged(tmp_path: Path) -> None:
    bad = CHAT[:-1]
    found = records_of(a_file(tmp_path, bad + b"\n" + CHAT + b"\n" + bad), "chat")
    assert [r.value == bad for r in found] == [True, False, False, True]
    assert found[0].idempotency_key != found[3].idempotency_key
