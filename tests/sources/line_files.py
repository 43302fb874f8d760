"""Files of lines, standard input, and the records that are read from them."""

import io
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from schemas.lines import Record, TooLong
from semloop.errors import ConfigError
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading

CHAT = (
    b'{"id":"c1","agent":"a","created_at":"2026-01-02T03:04:05Z","reward":1,'
    b'"messages":[{"role":"user","content":"hi"}]}'
)


def an_event(number: int = 1, session: str = "s1") -> bytes:
    """Encode a valid event of a session."""
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
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(content)
    return str(path)


def read_records(
    path: str, kind: str = "events", ledger: Ledger | None = None
) -> Iterator[Record | TooLong]:
    """Read a file lazily."""
    return Reading(path, kind, Options(), ledger or Ledger()).records()


def records_of(path: str, kind: str = "events") -> list[Record]:
    """Read the records of a path, without lines that are too long."""
    found = list(read_records(path, kind))
    return [record for record in found if isinstance(record, Record)]


def values(path: str, kind: str = "events") -> list[bytes]:
    """Read the values of the records of a path."""
    return [record.value for record in records_of(path, kind)]


def give_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> io.BytesIO:
    """Replace standard input by these bytes."""
    stream = io.BytesIO(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    return stream


def failure_of(path: str, kind: str = "events") -> ConfigError:
    """Read a path that must be refused; return the error."""
    with pytest.raises(ConfigError) as caught:
        list(read_records(path, kind))
    assert "\n" not in caught.value.what
    assert caught.value.todo
    return caught.value
