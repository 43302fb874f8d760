"""Files that begin or end unusually, are away for a time, or are many."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sources.following.places import Place
from sources.transcripts.options import Options
from tests.sources.following.session_files import START, Watched, a_line
from tests.sources.following.test_follower import append

MIB = 2**20
BEGINNINGS = {
    "no sign": b'{"a":1}\n{"b":2}',
    "no end": b'{"a":1}',
    "long lines": (b'{"a":"' + b"b" * 300_000 + b'"}\n') * 6,
    "one long line": b'{"a":"' + b"b" * (MIB + 9),
    "many lines": b'{"a":1}\n' * 200_000,
    "no text": a_line("x").decode().encode("utf-16"),
}


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A follower of an empty folder."""
    return Watched(tmp_path / "sessions")


@pytest.mark.parametrize("content", BEGINNINGS.values(), ids=BEGINNINGS.keys())
def test_a_file_of_no_known_format_holds_up_no_other(
    watched: Watched, content: bytes
) -> None:
    append(watched.folder / "a.jsonl", a_line("one"))
    os.utime(watched.folder / "a.jsonl", (1, 1))
    append(watched.folder / "z.jsonl", content)
    watched.pass_s(8)
    assert watched.texts == ["one"]
    assert watched.follower.is_level


@pytest.mark.parametrize("kind", ["summary", "file-history-snapshot"])
def test_any_number_of_lines_of_no_sign_may_come_first(
    watched: Watched, kind: str
) -> None:
    first = b'{"type":"%b","summary":"s"}\n' % kind.encode()
    append(watched.folder / "a.jsonl", *[first] * 25)
    watched.pass_s(2)
    append(watched.folder / "a.jsonl", a_line("one"))
    watched.pass_s(2)
    assert watched.texts == ["one"]


def test_the_folder_of_a_tool_is_a_sign(watched: Watched) -> None:
    first = b'{"type":"summary","summary":"%b"}\n' % (b"s" * 300_000)
    append(watched.folder / "a.jsonl", *[first] * 5, a_line("one"))
    watched.pass_s(2)
    assert not watched.texts
    watched.places = [Place("claude-code", "Claude Code", watched.folder)]
    watched.start()
    watched.pass_s(2)
    assert watched.texts == ["one"]


@pytest.mark.parametrize("rest", [b"", a_line("four")])
def test_a_long_line_without_its_end_may_be_truncated(
    watched: Watched, rest: bytes
) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"), b'{"a":"' + b"b" * 2 * MIB)
    watched.pass_s(2)
    os.truncate(path, len(a_line("one")))
    append(path, a_line("two"), a_line("three" * 500_000), rest)
    watched.pass_s(2)
    texts = [text[:10] for text in watched.texts]
    assert texts == ["one", "two", "threethree", *["four"] * bool(rest)]


def test_a_last_line_without_its_end_is_read_once(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"), a_line("two")[:-1])
    os.utime(path, (START.timestamp() + 10**6,) * 2)
    watched.pass_s(4)
    assert watched.texts == ["one"]
    assert not watched.follower.is_level
    path.unlink()
    watched.pass_s(3)
    assert watched.texts == ["one", "two"]
    assert watched.follower.is_level


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_end_of_a_line_that_was_read_adds_nothing(
    watched: Watched, end: bytes, restarted: bool
) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"), a_line("two")[:-1])
    watched.pass_s(10)
    if restarted:
        watched.save()
        watched.start()
    append(path, end)
    watched.pass_s(8)
    append(path, a_line("three"))
    watched.pass_s(8)
    assert watched.texts == ["one", "two", "three"]
    assert len(watched.sent) == 3


def test_a_part_of_a_line_stays_unread(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"), a_line("two")[:-2])
    watched.pass_s(10)
    assert watched.follower.is_level
    assert [file.rest for file in watched.follower.files.values()] == [
        len(a_line("two")) - 2
    ]
    watched.save()
    watched.start()
    append(path, a_line("two")[-2:])
    watched.pass_s(3)
    assert watched.texts == ["one", "two"]


def test_a_folder_may_be_away_for_a_time(watched: Watched) -> None:
    folder = watched.folder / "p"
    folder.mkdir()
    now = START + timedelta(days=1, seconds=0.1)
    append(folder / "a.jsonl", a_line("one", at=now), a_line("two", at=now))
    watched.pass_s(3)
    away = folder.rename(watched.folder.parent / "away")
    watched.pass_s(12)
    assert not watched.follower.files
    append(away / "a.jsonl", a_line("three", at=now))
    away.rename(folder)
    watched.pass_s(3)
    assert [again for _, again in watched.sent] == [False, False, True]
    assert watched.texts == ["one", "two", "three"]


def test_a_copy_is_sent_as_a_repetition(watched: Watched) -> None:
    now = START + timedelta(days=1, seconds=0.1)
    append(watched.folder / "a.jsonl", a_line("one", at=now))
    watched.pass_s(3)
    append(watched.folder / "b.jsonl", a_line("one", at=now))
    watched.pass_s(3)
    assert [again for _, again in watched.sent] == [False, True]


def test_a_folder_that_cannot_be_read_is_not_gone(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(watched.folder / "a.jsonl", a_line("one"))
    watched.pass_s(3)

    def refuse(folder: str) -> Any:
        raise PermissionError(folder)

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", refuse)
        watched.pass_s(20)
    assert watched.follower.files


def test_no_more_files_are_open_than_permitted(watched: Watched) -> None:
    watched.open_max = 8
    watched.start()
    for number in range(40):
        append(watched.folder / f"{number}.jsonl", a_line(f"{number}")[:-1])
    before = len(os.listdir("/dev/fd"))
    watched.now_s += 5
    watched.follower.look(everywhere=True)
    most = len(os.listdir("/dev/fd"))
    while watched.follower.work():
        most = max(most, len(os.listdir("/dev/fd")))
    assert most <= before + 9
    watched.pass_s(9)
    assert sorted(watched.texts) == sorted(f"{n}" for n in range(40))


DAY = timedelta(days=1)
CHANGES: dict[str, tuple[Options, Options, int]] = {
    "user": (Options(user="ann"), Options(user="bob"), 2),
    "agent": (Options(), Options(agent="a"), 2),
    "namespace": (Options(namespace="n"), Options(), 2),
    "since": (Options(since=START - DAY), Options(), 2),
    "earlier since": (Options(since=START), Options(since=START - DAY), 2),
    "later since": (Options(since=START - DAY), Options(since=START), 0),
    "none": (Options(user="ann"), Options(user="ann"), 0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_marks_hold_for_the_options_they_were_made_with(
    watched: Watched, change: tuple[Options, Options, int]
) -> None:
    first, second, count = change
    append(watched.folder / "a.jsonl", a_line("one"), a_line("two"))
    watched.options = first
    watched.start()
    watched.pass_s(3)
    sent = len(watched.sent)
    watched.save()
    watched.options = second
    watched.start()
    watched.pass_s(3)
    assert len(watched.sent) - sent == count


def test_marks_of_other_folders_are_kept(watched: Watched) -> None:
    first, second = watched.folder, watched.folder.parent / "other"
    append(first / "a.jsonl", a_line("one"))
    watched.pass_s(3)
    watched.save()
    second.mkdir()
    watched.places = [Place("", "", second)]
    watched.start()
    append(second / "b.jsonl", a_line("two"))
    watched.pass_s(3)
    watched.save()
    watched.places = [Place("", "", first)]
    watched.start()
    watched.pass_s(3)
    assert watched.texts == ["one", "two"]
    assert len(watched.sent) == 2
