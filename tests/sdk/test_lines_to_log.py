"""Lines that the SDK logs, where threads or their starts fail."""

import _thread
import threading
from typing import NoReturn

import pytest

from semloop.agent import warn as logs
from semloop.agent.warn import wait_logged, warn


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Records of the log; what other tests have left to log is not among them."""
    wait_logged(10)
    caplog.clear()
    return caplog


def texts(logged: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in logged.records if r.name == "semloop"]


def test_a_line_that_comes_while_another_thread_waits_is_logged(
    logged: pytest.LogCaptureFixture,
) -> None:
    with logs._own_lines().logging:
        warn("late")
    wait_logged(10)
    assert texts(logged) == ["late"]


def test_a_thread_that_does_not_start_does_not_keep_the_lines(
    logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def leave(_: threading.Thread) -> NoReturn:
        tried.set()
        raise SystemExit

    monkeypatch.setattr(threading.Thread, "start", leave)
    warn("first")
    assert tried.wait(60)
    monkeypatch.undo()
    lines = logs._own_lines()
    assert lines.logging.acquire(timeout=60)
    lines.logging.release()
    warn("second")
    wait_logged(30)
    assert texts(logged) == ["first", "second"]


def test_lines_are_logged_at_the_end_where_no_thread_can_start(
    logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        msg = "can't create new thread at interpreter shutdown"
        raise RuntimeError(msg)

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    warn("last")
    wait_logged(30)
    assert texts(logged) == ["last"]
