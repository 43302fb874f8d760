"""`semloop tail` as a process; test_new_events covers which events it returns."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from semloop.settings import Settings, load
from tests.cli.helpers import Semloop, Writer, named
from tests.support import processes
from tests.support.builders import an_event
from tests.support.fault_proxy import ALWAYS, Fault, FaultProxy
from tests.support.lakes import settings_on
from tests.support.services import Broker, wait_for
from tests.support.stores import Store

pytestmark = pytest.mark.process


class Tail:
    """The command as a process, with its output so far."""

    def __init__(self, settings: Settings, *arguments: str) -> None:
        # A background job of a shell, and its children, ignore SIGINT by default.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = processes.start(settings, "tail", *arguments)
        self.lines: list[str] = []
        self.errors: list[str] = []
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._streams = (self.process.stdout, self.process.stderr)
        self._threads = [
            threading.Thread(target=into.extend, args=[stream])
            for into, stream in zip(
                (self.lines, self.errors), self._streams, strict=True
            )
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, what: str, condition: Callable[[], object]) -> None:
        def seen() -> bool:
            if condition():
                return True
            assert self.process.poll() is None, (self.lines, self.errors)
            return False

        wait_for(what, seen)

    def wait_for_lines(self, count: int) -> list[str]:
        self.wait_for(f"{count} lines", lambda: len(self.lines) >= count)
        return self.lines

    def end(self) -> int:
        """Send Ctrl-C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self.join()
        return code

    def join(self) -> None:
        for thread, stream in zip(self._threads, self._streams, strict=True):
            thread.join()
            stream.close()


@contextmanager
def a_tail(settings: Settings, *arguments: str) -> Iterator[Tail]:
    tailed = Tail(settings, *arguments)
    try:
        yield tailed
    finally:
        tailed.process.kill()
        tailed.process.wait()
        tailed.join()


def test_tail_follows_until_ctrl_c(writer: Writer) -> None:
    writer.write(*named("a", "b", "c"))
    with a_tail(writer.settings, "-n", "2", "--format", "json") as tailed:
        tailed.wait_for_lines(2)
        writer.write(*named("d"), partition=1)
        tailed.wait_for_lines(3)
        writer.storage.open("events").optimize.compact()
        writer.write(*named("e"))
        tailed.wait_for_lines(4)
        assert tailed.end() == 130
    events = [json.loads(line) for line in tailed.lines]
    assert [event["agent"] for event in events] == ["b", "c", "d", "e"]
    assert events[0]["payload"] == '{"role": "user", "content": "hello"}'
    assert tailed.errors == []


def test_tail_waits_for_a_lake_that_does_not_exist_or_disappears() -> None:
    settings = load()
    with a_tail(settings) as tailed:
        tailed.wait_for("a message about the missing lake", lambda: tailed.errors)
        writer = Writer()
        writer.write(*named("a"))
        tailed.wait_for_lines(1)
        Path(settings.lake).rename("away")
        tailed.wait_for("a message about the outage", lambda: len(tailed.errors) > 1)
        Path("away").rename(settings.lake)
        writer.write(*named("b"))
        tailed.wait_for_lines(2)
        assert tailed.end() == 130
    assert [line.split("  ")[1].strip() for line in tailed.lines] == ["a", "b"]
    assert tailed.errors == [
        f"There is no lake at {settings.lake} yet; `semloop up` creates it.\n",
        "The lake no longer exists. Waiting for it; press Ctrl-C to stop.\n",
    ]


def test_tail_exits_when_its_pipe_is_closed(writer: Writer) -> None:
    writer.write(*named("a"))
    process = processes.start(writer.settings, "tail")
    assert process.stdout is not None
    assert process.stderr is not None
    assert "hello" in process.stdout.readline()
    process.stdout.close()
    try:
        # It must exit without writing: no further event is committed.
        assert process.wait(60) == 1
        assert process.stderr.read() == ""
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    finally:
        process.stderr.close()


def test_a_line_shows_time_agent_session_type_and_text(
    writer: Writer, semloop: Semloop
) -> None:
    today = datetime.now(UTC).replace(microsecond=0)
    failed = {"tool": "pay", "status": "error"}
    session = {"session_id": "a-session-with-a-long-id"}
    writer.write(
        an_event("message", timestamp=today.isoformat(), meta=session),
        an_event("tool_call", timestamp="2026-01-02T12:00:00Z", payload=failed),
        kafka_ts=max(today, datetime(2026, 11, 20, 12, tzinfo=UTC)),
    )
    first, second = semloop("tail", "--no-follow").splitlines()
    clock = today.strftime("%H:%M:%S")
    assert first == f"{clock}  tester          a-session-w…  message       user: hello"
    assert second.startswith("01-0")  # the date, because it is not today
    assert second.split()[2:] == ["tester", "s-1", "tool_call", "pay", "error"]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_a_line_is_as_wide_as_the_terminal(
    writer: Writer, semloop: Semloop, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    from rich.cells import cell_len

    message = {"role": "user", "content": "說\x1b[2J\u202e" * 200}
    writer.write(
        an_event(agent="a\nb", payload=message),
        an_event("error", payload={"error_type": "x", "message": "y z " * 150}),
        an_event(payload={"role": "user", "content": "說" * 15}),
    )
    monkeypatch.setenv("COLUMNS", str(columns))
    out = semloop("tail", "--no-follow")
    lines = out.splitlines()
    widths = [cell_len(line) for line in lines]
    assert len(widths) == 3
    assert max(widths) <= columns
    assert min(widths[:2]) >= columns - 1
    assert not set(out) & set("\x1b\u202e")


def test_failures_are_red_only_on_a_terminal(
    writer: Writer, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write(an_event("error"), an_event("message"))
    assert "\x1b" not in semloop("tail", "--no-follow")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    red, plain = semloop("tail", "--no-follow").splitlines()
    assert red.startswith("\x1b[31m")
    assert "\x1b" not in plain


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--agent", "b"], ["b"]),
        (["--session", "s-2"], ["c"]),
        (["--session", "s-"], ["a", "b", "c", "d"]),
        (["--type", "error"], ["d"]),
        (["--namespace", "staging"], ["c"]),
        (["--namespace", "default", "--type", "message"], ["a", "b"]),
        (["-n", "1"], ["d"]),
        (["-n", "0"], []),
    ],
)
def test_options_filter_events(
    writer: Writer, semloop: Semloop, options: list[str], expected: list[str]
) -> None:
    other = {"session_id": "s-2x", "namespace": "staging"}
    writer.write(*named("a", "b"), *named("c", meta=other), *named("d", kind="error"))
    out = semloop("tail", "--no-follow", "--format", "json", *options)
    found = [json.loads(line)["agent"] for line in out.splitlines()]
    assert found == expected


@pytest.mark.usefixtures("writer")
def test_tail_reports_that_there_are_no_events(semloop: Semloop) -> None:
    assert semloop("tail", "--no-follow") == "No events.\n"
    assert semloop("tail", "--no-follow", "--agent", "x") == "No events match.\n"
    assert semloop("tail", "--no-follow", "--format", "json") == ""


@pytest.mark.parametrize(
    ("line", "what", "todo"),
    [
        ("--no-follow", "There is no lake at", "`semloop up`"),
        ("--type tool", "no event type 'tool'", "Did you mean 'tool_call'?"),
        ("--type x", "no event type 'x'", "The types are: tool_call, "),
        ("-n -1", "greater than or equal to 0", "semloop tail --help"),
        ("-n many", "should be a valid integer", "semloop tail --help"),
        ("--format csv", "'csv' is not one of", "semloop tail --help"),
    ],
)
def test_wrong_usage_is_reported_in_two_lines(
    semloop: Semloop, line: str, what: str, todo: str
) -> None:
    errors = semloop.refused("tail", *line.split())
    assert what in errors[0]
    assert todo in errors[1]


def test_many_lines_are_printed_in_order(writer: Writer, semloop: Semloop) -> None:
    writer.write(*named(*range(3_000)))
    out = semloop("tail", "--no-follow", "-n", "2500")
    agents = [line.split("  ")[1].strip() for line in out.splitlines()]
    assert agents == [str(n) for n in range(500, 3_000)]


def test_tail_waits_for_a_store_that_does_not_answer(
    store: Store, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(store.endpoint) as proxy:
        settings = settings_on(proxy.endpoint, broker, monkeypatch)
        writer = Writer(settings)
        with a_tail(settings) as tailed:
            tailed.wait_for("a message about no events", lambda: tailed.errors)
            fault = proxy.arm(Fault.RESET, "GET HEAD", times=ALWAYS)
            tailed.wait_for(
                "a message about the outage", lambda: len(tailed.errors) > 1
            )
            tries = fault.happened
            tailed.wait_for("further polls", lambda: fault.happened >= 3 * tries)
            proxy.disarm()
            writer.write(*named("a"))
            tailed.wait_for_lines(1)
            assert tailed.end() == 130
    first, second = tailed.errors
    assert first == "No events yet.\n"
    assert second.startswith(f"Cannot read table events in {settings.lake}: ")
    assert f"the object store {proxy.endpoint} does not answer: " in second
    assert second.endswith(" Waiting for it; press Ctrl-C to stop.\n")
