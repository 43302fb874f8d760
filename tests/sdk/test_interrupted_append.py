"""Events that are emitted while another one is being stored: signals, threads, gc."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from semloop.agent.spool.reader import Reader
from semloop.agent.spool.writer import Writer
from tests.sdk.spooled import Drops, a_writer, events_of


def at_each_line(function: Callable[[], None], nested: Callable[[int], None]) -> int:
    """Call a function; call `nested` before each line of `Writer.append` in it.

    Returns:
        the number of lines.
    """
    count = 0
    running = False

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count, running
        if frame.f_code is not Writer.append.__code__ or running:
            return None
        if event == "line":
            running = True
            try:
                nested(count)
            finally:
                running = False
            count += 1
        return trace

    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(None)
    return count


def lines_of_append(folder: Path) -> int:
    writer = a_writer(folder)

    def append() -> None:
        writer.append(b"s", b"x")

    return at_each_line(append, lambda _: None)


def test_append_may_be_interrupted_by_another_append_at_each_line(
    tmp_path: Path,
) -> None:
    for line in range(lines_of_append(tmp_path / "count")):
        writer = a_writer(tmp_path / str(line))
        drops = Drops()
        reader = Reader(writer.chain, drops, live=True)
        nested_at = []

        def nested(now: int, at: int = line, writer: Writer = writer) -> None:
            if now == at:
                assert writer.append(b"k", b"nested") is None
                nested_at.append(now)  # noqa: B023

        def outer(writer: Writer = writer) -> None:
            assert writer.append(b"k", b"outer") is None

        at_each_line(outer, nested)
        found = events_of(reader)
        assert sorted(found) == sorted([b"outer", *[b"nested"] * len(nested_at)])
        assert not drops


def test_an_interrupted_append_leaves_no_damage(tmp_path: Path) -> None:
    for line in range(lines_of_append(tmp_path / "count")):
        writer = a_writer(tmp_path / str(line))
        drops = Drops()
        reader = Reader(writer.chain, drops, live=True)

        def interrupt(now: int, at: int = line, writer: Writer = writer) -> None:
            if now == at:
                raise KeyboardInterrupt

        def outer(writer: Writer = writer) -> None:
            writer.append(b"k", b"interrupted")

        with contextlib.suppress(KeyboardInterrupt):
            at_each_line(outer, interrupt)
        writer.append(b"k", b"next")
        assert events_of(reader) in ([b"next"], [b"interrupted", b"next"])
        assert not drops


def test_threads_and_signals_append_each_event_once(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    drops = Drops()
    reader = Reader(writer.chain, drops, live=True)
    by_signal: list[bytes] = []

    def handle(*_: object) -> None:
        event = b"signal %d" % len(by_signal)
        by_signal.append(event)
        writer.append(b"k", event)

    def work(name: int) -> None:
        for number in range(2_000):
            writer.append(b"k", b"%d %d" % (name, number))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    previous = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for thread in threads:
            thread.start()
        work(9)
        for thread in threads:
            thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    found = events_of(reader)
    expected = [b"%d %d" % (t, n) for t in (0, 1, 2, 3, 9) for n in range(2_000)]
    assert sorted(found) == sorted(expected + by_signal)
    for name in range(4):
        own = [e for e in found if e.startswith(b"%d " % name)]
        assert own == [b"%d %d" % (name, n) for n in range(2_000)]
