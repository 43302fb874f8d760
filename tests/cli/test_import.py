"""`semloop import` without a broker: dry runs, folders, and what is refused."""

from pathlib import Path

import msgspec
import pytest

from tests.cli.helpers import Semloop
from tests.sources.chats import a_chat, message_of

PICTURE = {"type": "image", "source": {"data": "A" * 600}}
CHATS = [
    a_chat(message_of("user", ["hi", PICTURE])),
    a_chat(message_of("user"), id="2"),
]


def test_a_dry_run_shows_what_would_be_made_and_left_out(
    semloop: Semloop, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_bytes(b"[" + b",".join(CHATS) + b"]")
    out = semloop("import", str(tmp_path / "a.json"), "--dry-run")
    assert "chats in OpenAI's form (each value has a list of messages)." in out
    assert "Would make: 2 message." in out
    counts = "4 units of the input: 2 events, 1 kept inside others, 1 left out"
    assert f"{counts}: 1 data of image parts." in out
    assert '"content":"hi"' in out
    assert "AAAA" not in out


def test_a_dry_run_shows_events_around_a_line_that_is_not_one(
    semloop: Semloop, tmp_path: Path
) -> None:
    lines = [CHATS[0], b'{"messages": [', b"\xff{}", CHATS[1]]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    out = semloop("import", str(tmp_path / "a.jsonl"), "--dry-run")
    assert '"content":"hi"' in out
    assert "Would make: 2 message." in out


def test_a_folder_is_read_and_what_is_unknown_is_reported(
    semloop: Semloop, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.jsonl").write_bytes(CHATS[0])
    (tmp_path / "b.json").write_bytes(CHATS[1])
    (tmp_path / "c.txt").write_text("no transcript")
    assert "Would make: 2 message." in semloop("import", str(tmp_path), "--dry-run")
    (tmp_path / "d.json").write_text('{"name": "package"}')
    code, out, err = semloop.run("import", str(tmp_path), "--dry-run")
    assert code == 1
    assert "Would make: 2 message." in out
    assert "d.json' has no known format." in err
    assert "1 of 3 files were not imported." in err


@pytest.mark.parametrize("content", [b"", b"[]", b'{"id":"a","messages":[]}'])
def test_a_file_with_nothing_usable_ends_with_1(
    semloop: Semloop, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.json").write_bytes(content)
    code, _, err = semloop.run("import", str(tmp_path / "a.json"), "--dry-run")
    assert code == 1
    assert "nothing that becomes an event" in err


def test_given_values_fill_in_and_narrow(semloop: Semloop, tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": str(n), "timestamp": f"2026-01-0{n}T00:00:00Z"}
        for n in (1, 2)
    ]
    (tmp_path / "a.json").write_bytes(msgspec.json.encode({"messages": turns}))
    given = ("--agent", "bot", "--namespace", "eu", "--since", "2026-01-02T00:00:00Z")
    out = semloop("import", str(tmp_path / "a.json"), "--dry-run", *given)
    assert "Would make: 1 message." in out
    assert "1 message before --since." in out
    assert "message bot chat-" in out
