"""What happens while the disk refuses files, or the host's logs never return."""

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from semloop.agent.agent import Agent
from semloop.agent.spool import segment, space
from semloop.agent.spool.folder import bytes_in
from semloop.agent.spool.reader import Reader
from semloop.agent.warn import wait_logged, warn
from semloop.settings import Settings
from tests.sdk.sent_events import sent_ids
from tests.sdk.spooled import Drops, a_writer, left_events, taken
from tests.support.services import free_port, wait_for

ERRORS = {
    "no more descriptors": errno.EMFILE,
    "no permission": errno.EACCES,
    "a full disk": errno.ENOSPC,
}


class Disk:
    """Refuses new files while it has an error."""

    def __init__(self, original: Callable[..., int]) -> None:
        self._original = original
        self.error = 0

    def open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_CREAT and self.error:
            raise OSError(self.error, os.strerror(self.error))
        return self._original(path, flags, *args, **kwargs)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(os.open)
    monkeypatch.setattr(os, "open", disk.open)
    return disk


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Records of the log; what other tests have left to log is not among them."""
    wait_logged(10)
    caplog.clear()
    yield caplog
    wait_logged(10)


@pytest.mark.parametrize("why", ERRORS)
def test_events_in_memory_are_written_once_the_disk_accepts_files(
    tmp_path: Path, disk: Disk, why: str
) -> None:
    writer = a_writer(tmp_path)
    drops = Drops()
    reader = Reader(writer.chain, drops, live=True)
    writer.append(b"s", b"first")
    disk.error = ERRORS[why]
    for number in range(400):
        writer.append(b"s", b"%d" % number * 400)
    taken(reader, 2)
    writer.maintain()
    found = [writer.obstacle]
    assert writer.in_memory > 300
    disk.error = 0
    writer._space._retry_s = 0
    writer.maintain()
    reason = os.strerror(ERRORS[why])
    assert [*found, writer.obstacle] == [
        f"cannot write to the spool in {tmp_path}: {reason}", None,
    ]  # fmt: skip
    assert writer.in_memory == 0
    # In the file immediately, since the disk accepts files again.
    writer.append(b"s", b"last")
    writer.release()
    events = left_events(tmp_path, drops=drops)
    assert [e[: len(e) // 400 or None] for e in events] == [
        b"first", *(b"%d" % number for number in range(400)), b"last",
    ]  # fmt: skip
    assert not drops


def test_events_that_a_full_disk_without_reserved_blocks_refuses_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "_reserve", None)
    writer = a_writer(tmp_path)
    writer.append(b"s", b"one")
    writer.maintain()
    found = [writer.in_memory]

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        writer.append(b"s", b"two")
        writer.append(b"s", b"three")
        writer.maintain()
        found.append(writer.in_memory)
    writer.maintain()
    assert [*found, writer.in_memory] == [0, 2, 0]


def test_an_agent_logs_once_that_events_are_only_in_memory_and_when_that_ends(
    tmp_path: Path, disk: Disk, logged: pytest.LogCaptureFixture
) -> None:
    own = Settings().replace(
        kafka=f"127.0.0.1:{free_port()}", spool=str(tmp_path / "spool")
    )
    disk.error = errno.EACCES
    agent = Agent("tester", settings=own)
    session = agent.session("s-1")

    def count(text: str) -> int:
        return sum(text in record.getMessage() for record in logged.records)

    for _ in range(3):
        session.message("user", "x" * 40_000)
    wait_for("the line", lambda: count("Events are only in memory"))
    assert agent.stats().in_memory == agent.stats().waiting == 3
    disk.error = 0
    wait_for("its end", lambda: count(f"Events are stored in {own.agent.spool} again"))
    assert agent.stats().in_memory == 0
    # Once more, for the same reason: known.
    disk.error = errno.EACCES
    while not agent.stats().in_memory:
        session.message("user", "x" * 100_000)
    stored = agent.stats().waiting
    disk.error = 0
    wait_for("the file", lambda: not agent.stats().in_memory)
    agent._emitter.close(0.1)
    assert count("Events are only in memory") == 1
    assert len(left_events(tmp_path / "spool", agent._emitter._name)) == stored


class Endless(logging.Handler):
    """A handler that waits for what does not come before the end of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.ended = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "semloop":
            self.entered.set()
            self.ended.wait()


@pytest.fixture
def endless() -> Iterator[Endless]:
    handler = Endless()
    wait_logged(10)
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    handler.ended.set()
    wait_logged(10)


def test_a_log_that_never_returns_does_not_hold_up_the_sender(
    settings: Settings, tmp_path: Path, disk: Disk, endless: Endless
) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"))
    disk.error = errno.EACCES
    agent = Agent("tester", settings=own)
    emitted = [agent.session("s-1").message("user", "one")]
    assert endless.entered.wait(60)
    emitted.append(agent.session("s-1").message("user", "two"))
    assert agent.flush(60)
    assert not endless.ended.is_set()
    assert set(emitted) <= set(sent_ids(own))


def test_lines_are_logged_in_order_by_one_thread_also_after_one_that_waits(
    endless: Endless, caplog: pytest.LogCaptureFixture
) -> None:
    before = threading.active_count()
    warn("%s", "first")
    assert endless.entered.wait(60)
    for number in range(20):
        warn("%s", number)
    assert threading.active_count() <= before + 1
    endless.ended.set()
    wait_logged(30)
    found = [r.getMessage() for r in caplog.records if r.name == "semloop"]
    assert found == ["first", *map(str, range(20))]


def test_a_folder_that_is_full_is_searched_once_for_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = a_writer(tmp_path, bytes_max=2**18)
    reader = Reader(writer.chain, Drops(), live=True)
    while writer.in_memory < 100:
        assert writer.append(b"s", b"x" * 2_000) is None
    while len(list(tmp_path.glob("*.seg"))) > 3:  # there is room for a small one
        for record in taken(reader, 1):
            reader.finish(record)
    searched: list[Path] = []

    def search(folder: Path) -> int:
        searched.append(folder)
        return bytes_in(folder)

    monkeypatch.setattr(space, "bytes_in", search)
    writer._space._retry_s = 0
    monkeypatch.setattr(space, "RETRY_S", 1_000.0)
    for _ in range(100):
        writer.maintain()
    assert len(searched) == 2  # for the next events, and for those in memory
    assert writer.obstacle == f"the spool in {tmp_path} is full"
