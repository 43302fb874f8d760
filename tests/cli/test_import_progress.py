"""The progress of an import is that of the bytes of its files: 0 to 100 %, never back."""

import gzip
import io
import sys
from pathlib import Path

import pytest

from semloop.command.cli.import_ import Several
from sources.transcripts.input_files import size_of
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from tests.sources.chats import a_chat, message_of

CHATS = [a_chat(message_of("user", "hi " * 4_000), id=str(n)) for n in range(400)]


def positions(files: list[str]) -> list[int]:
    """Read files; return the position after each record, and at the end."""
    several = Several(files, "auto", Options(), Ledger())
    found = [0]
    for _ in several.records():
        found.append(several.position())
    return [*found, several.position()]


def test_progress_of_a_folder_reaches_its_size_and_never_goes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(CHATS))
    (tmp_path / "b.json").write_bytes(b"[" + b",".join(CHATS) + b"]")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b"\n".join(CHATS)))
    (tmp_path / "d.json").write_bytes(b'{"name": "no transcript"}')
    (tmp_path / "e.json").write_bytes(b"")
    files = sorted(str(path) for path in tmp_path.iterdir())
    total = sum(size_of(path) or 0 for path in files)
    found = positions(files)
    assert found == sorted(found)
    assert found[-1] == total
    # Not all is read before the first event is there.
    assert 0 < found[1] < total / 2
    assert len(set(found)) > 5
    assert "no known format" in capsys.readouterr().err


def test_a_damaged_file_counts_with_its_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = gzip.compress(b"\n".join(CHATS))
    (tmp_path / "a.jsonl.gz").write_bytes(whole[:-20])
    (tmp_path / "b.jsonl").write_bytes(CHATS[0])
    files = sorted(str(path) for path in tmp_path.iterdir())
    found = positions(files)
    assert found == sorted(found)
    assert found[-1] == sum(size_of(path) or 0 for path in files)
    assert "gzip data" in capsys.readouterr().err


def test_standard_input_has_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO(b"\n".join(CHATS))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    assert size_of("-") is None
    assert set(positions(["-"])) == {0}
