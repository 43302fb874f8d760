"""Tool calls that run for long are reported while they run."""

import math
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from semloop.agent.long_calls import LongCalls, long_calls
from semloop.agent.session import Session
from semloop.sampling import is_kept
from tests.sdk.recorded_events import stored
from tests.support.processes import FORK_WARNING_IGNORED, ROOT
from tests.support.services import wait_for

WAIT_S = 60.0


class Watched:
    """A session that reports calls after a time, and its events."""

    def __init__(self, long_call_s: float) -> None:
        self.events: list[dict[str, Any]] = []
        self.reported = threading.Event()
        self.session = Session(
            self._emit, {"session_id": "s-1"}, long_call_s=long_call_s
        )

    def _emit(
        self,
        kind: str,
        meta: Mapping[str, object],
        payload: Mapping[str, object],
        _: Mapping[str, object] | None,
    ) -> str:
        self.events.append(stored(kind, payload, **meta))
        if kind == "tool_start":
            self.reported.set()
        return ""

    def numbers(self, count: int) -> Iterator[int]:
        yield from range(count)


def test_a_long_call_is_reported_while_it_runs() -> None:
    watched = Watched(0.01)
    outer, inner = (watched.session.tool(name, {}) for name in ("outer", "search"))
    with outer, inner:
        inner.call_id = "c-1"
        while not any(e["payload"]["tool"] == "search" for e in watched.events):
            assert watched.reported.wait(WAIT_S)
            watched.reported.clear()
    kinds = [(e["type"], e["payload"]["tool"]) for e in watched.events]
    assert sorted(kinds) == [
        ("tool_call", "outer"), ("tool_call", "search"),
        ("tool_start", "outer"), ("tool_start", "search"),
    ]  # fmt: skip
    started, ended = (
        next(
            e
            for e in watched.events
            if e["type"] == kind and e["payload"]["tool"] == "search"
        )
        for kind in ("tool_start", "tool_call")
    )
    assert started["payload"].pop("running_ms") >= 10
    assert started["payload"] == {"tool": "search", "call_id": "c-1"}
    assert started["meta"] == ended["meta"]
    assert started["meta"]["parent_span_id"] == outer.span_id


@pytest.mark.parametrize("long_call_s", [0.0, 3_600.0])
def test_a_call_that_ends_before_is_not_reported(long_call_s: float) -> None:
    watched = Watched(long_call_s)
    with watched.session.tool("search") as call:
        assert (call in long_calls._due_s) is bool(long_call_s)
    assert call not in long_calls._due_s
    assert [event["type"] for event in watched.events] == ["tool_call"]


def test_a_generator_is_reported_once_it_runs() -> None:
    watched = Watched(0.01)

    def returned(count: int) -> Iterator[int]:
        return watched.numbers(count)

    running = watched.session.tool("running")(returned)(3)
    next(running)
    assert watched.reported.wait(WAIT_S)
    assert list(running) == [1, 2]
    found = [(e["type"], e["payload"]["tool"]) for e in watched.events]
    assert found == [("tool_start", "running"), ("tool_call", "running")]


def test_a_generator_that_is_not_started_does_not_run() -> None:
    watched = Watched(3_600.0)

    def returned(count: int) -> Iterator[int]:
        return watched.numbers(count)

    waiting = set(long_calls._due_s)
    unused = watched.session.tool("unused")(returned)(3)
    assert set(long_calls._due_s) <= waiting
    next(unused)
    [call] = set(long_calls._due_s) - waiting
    assert list(unused) == [1, 2]
    assert call not in long_calls._due_s


class Reported:
    """A call whose report is counted."""

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error

    def report(self) -> None:
        REPORTS.release()
        if self._error is not None:
            raise self._error


REPORTS = threading.Semaphore(0)


def test_one_thread_serves_all_calls_and_ends_after_them() -> None:
    calls = LongCalls()
    endless = Reported()
    calls.add(endless, math.inf)
    thread = calls._thread
    assert thread is not None
    calls.add(Reported(SystemExit()), 0.0)
    for _ in range(200):
        calls.add(Reported(), 0.0)
    assert calls._thread is thread
    for _ in range(201):
        assert REPORTS.acquire(timeout=WAIT_S)
    calls.remove(endless)
    wait_for("the end of the thread", lambda: calls._thread is None)
    assert not calls._due_s
    calls.add(Reported(), 0.0)  # the next call starts a thread again
    assert REPORTS.acquire(timeout=WAIT_S)


# In a process of its own: a child of this one could crash when it collects what the
# clients of other tests have left.
FORK = """
import math, os
from semloop.agent.ids import new_span_id
from semloop.agent.long_calls import LongCalls
class Endless:
    def report(self):
        pass
calls, endless = LongCalls(), Endless()
calls.add(endless, math.inf)
number = int(new_span_id(), 16)
child = os.fork()
if child == 0:
    is_new = abs(int(new_span_id(), 16) - number) > 1_000
    os._exit(not is_new or bool(calls._due_s) or calls._thread is not None)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert calls._due_s
"""


@pytest.mark.process
def test_a_forked_child_does_not_report_its_parents_calls() -> None:
    done = subprocess.run(
        [sys.executable, "-W", FORK_WARNING_IGNORED, "-c", FORK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_starts_are_sampled_with_their_calls() -> None:
    sample = {"*/tool_call": 0.5}
    for number in range(50):
        kept = {
            is_kept(kind, "a", f"s-{number}", sample, failed=False)
            for kind in ("tool_start", "tool_call")
        }
        assert len(kept) == 1
