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
    counts = "4 units of the input: 2 events to store, 1 kept inside others, 1 left out"
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
    code, out, err = semloop.run("import", str(tmp_path), "--dry-run")
    assert code == 0
    assert "Would make: 2 message." in out
    skipped = str(tmp_path / "c.txt")
    assert f"1 file skipped, by the end of their names: {skipped!r}." in err
    (tmp_path / "d.json").write_text('{"name": "package"}')
    code, out, err = semloop.run("import", str(tmp_path), "--dry-run")
    assert code == 1
    assert "Would make: 2 message." in out
    assert "d.json' has no known format." in err
    assert "1 of 3 files were not imported." in err


def test_files_without_events_and_skipped_ones_are_named_in_one_line(
    semloop: Semloop, tmp_path: Path
) -> None:
    (tmp_path / "good.json").write_bytes(CHATS[0])
    (tmp_path / "empty.json").write_bytes(b"")
    for number in range(30):
        (tmp_path / f"{number:02}.log").write_text("x")
    _, _, err = semloop.run("import", str(tmp_path), "--dry-run")
    (named,) = [line for line in err.splitlines() if "skipped" in line]
    assert named.startswith("30 files skipped")
    assert "09.log" in named
    assert "and 20 more." in named
    (without,) = [line for line in err.splitlines() if "without anything" in line]
    assert "empty.json" in without
    assert "good.json" not in without


def test_an_unknown_role_is_reported(semloop: Semloop, tmp_path: Path) -> None:
    chat = a_chat(message_of("referee"), message_of("user"), message_of("Human"))
    (tmp_path / "a.json").write_bytes(chat)
    out = semloop("import", str(tmp_path / "a.json"), "--dry-run")
    assert "1 message of the unknown role 'referee': stored with the role 'user'" in out
    assert '"source":{"role":"referee"}' in out
    assert "Human'" not in out


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
