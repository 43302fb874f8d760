"""What a follower sends of files that grow, and are truncated, renamed or deleted."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.sources.following.session_files import START, Watched, a_line


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A follower of an empty folder."""
    return Watched(tmp_path)


def append(path: Path, *lines: bytes) -> None:
    """Append to a file."""
    with path.open("ab") as file:
        file.write(b"".join(lines))


def test_lines_are_sent_once_as_they_come(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    for text in ("one", "two", "three"):
        append(path, a_line(text))
        watched.pass_s(3)
    assert [*watched.texts] == ["one", "two", "three"]
    assert len(watched.sent) == 3


def test_a_line_that_is_not_complete_waits(watched: Watched) -> None:
    line = a_line("one")
    append(watched.folder / "a.jsonl", a_line("zero"), line[:20])
    watched.pass_s(5)
    assert watched.texts == ["zero"]
    append(watched.folder / "a.jsonl", line[20:])
    watched.pass_s(5)
    assert watched.texts == ["zero", "one"]


def test_a_bad_line_is_one_dead_letter(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    append(path, b'{"type": "us\n', a_line("one"), b"\xff\n")
    watched.pass_s(5)
    watched.start()
    watched.pass_s(5)
    assert [r.value for r, _ in watched.sent if not r.is_event] == [
        b'{"type": "us', b"\xff", b'{"type": "us', b"\xff",
    ]  # fmt: skip
    assert len(set(watched.ids)) == 3


def test_a_call_is_started_and_later_has_a_result(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    use = {"type": "tool_use", "id": "t1", "name": "ls", "input": {"path": "/"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "bin"}
    call: dict[str, Any] = {
        "type": "assistant",
        "message": {"role": "assistant", "content": [use]},
    }
    append(path, a_line("a", **call), a_line("b"))
    watched.pass_s(3)
    answer: dict[str, Any] = {"message": {"role": "user", "content": [result]}}
    append(path, a_line("c", at=START + timedelta(seconds=9), **answer))
    watched.pass_s(3)
    kinds = [msgspec.json.decode(record.value)["type"] for record, _ in watched.sent]
    assert kinds == ["tool_start", "message", "tool_call"]
    done = msgspec.json.decode(watched.sent[-1][0].value)
    assert done["payload"]["result"] == "bin"
    assert done["payload"]["status"] == "success"


def test_the_ids_are_those_of_an_import(watched: Watched) -> None:
    from sources.transcripts.ledger import Ledger
    from sources.transcripts.options import Options
    from sources.transcripts.reader import Reading

    path = watched.folder / "a.jsonl"
    rollout = watched.folder / "rollout-1.jsonl"
    append(path, *(a_line(f"{n}") for n in range(40)))
    lines = [
        {"type": "session_meta", "payload": {"id": "s-1"}},
        *(
            {
                "type": "response_item",
                "payload": {"type": "message", "role": "user", "content": f"{n}"},
            }
            for n in range(40)
        ),
    ]
    append(rollout, *(msgspec.json.encode(line) + b"\n" for line in lines))
    watched.pass_s(5)
    imported = [
        record.idempotency_key  # type: ignore[union-attr]
        for each in (path, rollout)
        for record in Reading(str(each), "auto", Options(), Ledger()).records()
    ]
    assert sorted(watched.ids) == sorted(imported)


def test_nothing_is_read_again_after_a_restart(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"))
    watched.pass_s(3)
    watched.save()
    watched.start()
    watched.pass_s(3)
    append(path, a_line("two"))
    watched.pass_s(3)
    assert [r.line for r, _ in watched.sent] == [1, 2]
    assert watched.texts == ["one", "two"]


def test_what_an_earlier_process_may_have_sent_is_marked(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    new = START + timedelta(days=1, seconds=0.1)
    append(path, a_line("old"), a_line("new", at=new))
    watched.pass_s(3)
    assert [again for _, again in watched.sent] == [True, False]


def test_a_truncated_file_is_read_from_its_beginning(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"), a_line("two"))
    watched.pass_s(3)
    os.truncate(path, 0)
    append(path, a_line("two"), a_line("three"), a_line("four"))
    watched.pass_s(3)
    assert watched.texts == ["one", "two", "three", "four"]
    assert all(again for _, again in watched.sent)


def test_lines_that_were_read_are_kept_if_the_file_is_truncated(
    watched: Watched,
) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"))
    watched.pass_s(0.25)
    os.truncate(path, 0)
    watched.pass_s(3)
    assert watched.texts == ["one"]


def test_an_edited_line_is_sent_and_the_others_stay(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"), a_line("two"))
    watched.pass_s(3)
    data = path.read_bytes().replace(b'"content":"one"', b'"content":"ONE"')
    path.write_bytes(data)
    os.utime(path, (1, 1))
    watched.pass_s(3)
    assert watched.texts == ["one", "two", "ONE"]


def test_a_renamed_file_continues(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"))
    watched.pass_s(3)
    (watched.folder / "deep").mkdir()
    moved = path.rename(watched.folder / "deep/b.jsonl")
    append(moved, a_line("two"))
    watched.pass_s(3)
    assert watched.texts == ["one", "two"]
    assert len(watched.sent) == 2


def test_a_replaced_file_is_another_one(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    append(path, a_line("one"))
    watched.pass_s(3)
    other = watched.folder / "a.tmp"
    append(other, a_line("one"), a_line("two"))
    other.replace(path)
    watched.pass_s(3)
    assert watched.texts == ["one", "two"]


def test_a_file_is_read_after_it_was_deleted(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    append(path, *(a_line(f"{n}" * 1_000) for n in range(3_000)))
    watched.now_s += 0.25
    watched.follower.look()
    assert watched.follower.work()
    path.unlink()
    watched.pass_s(3)
    assert len(watched.texts) == 3_000


def test_the_newest_file_is_read_first(watched: Watched) -> None:
    for number in range(3):
        path = watched.folder / f"{number}.jsonl"
        append(path, a_line(f"{number}"))
        os.utime(path, (number, number))
    watched.pass_s(3)
    assert watched.texts == ["2", "1", "0"]


def test_nothing_is_lost_while_there_is_no_space(watched: Watched) -> None:
    path = watched.folder / "a.jsonl"
    watched.full = True
    for number in range(5):
        append(path, a_line(f"{number}"))
        watched.pass_s(3)
    assert not watched.sent
    watched.full = False
    watched.pass_s(3)
    assert watched.texts == [f"{n}" for n in range(5)]


def test_a_file_of_another_format_is_left_alone(watched: Watched) -> None:
    append(watched.folder / "a.jsonl", *[b'{"name": "package"}\n'] * 30)
    append(watched.folder / "b.jsonl", a_line("one"))
    watched.pass_s(3)
    assert watched.texts == ["one"]
    files = watched.follower.files.values()
    assert [file.is_unknown for file in files].count(True) == 1


def test_a_long_line_is_read_in_pieces(watched: Watched) -> None:
    path, text = watched.folder / "a.jsonl", "x" * 3_500_000
    line = a_line(text)
    for start in range(0, len(line), 700_000):
        append(path, line[start : start + 700_000])
        watched.pass_s(1)
    watched.pass_s(3)
    assert watched.texts == [text]
