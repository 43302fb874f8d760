"""`semloop top`: one screen for scripts, and a live one with keys."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from operators.metrics.sums import sums
from semloop.settings import load
from tests.cli.helpers import Semloop
from tests.operators.event_rows import Row, event_row, events_table
from tests.semloop.written_lake import append
from tests.support import processes
from tests.support.services import wait_for


@pytest.fixture
def lake() -> Path:
    """The lake of the settings, with events of this minute."""
    folder = Path(load().lake)
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)

    def call(agent: str, tool: str, status: str, ms: float) -> Row:
        row = event_row("tool_call", agent=agent, tool=tool, duration_ms=ms)
        return row | {"status": status, "credits_used": 0.25, "ts": now}

    rows = [
        *(call("travel", "search", "success", 100) for _ in range(7)),
        *(call("travel", "book\x1b[31m", "error", 2_000) for _ in range(3)),
        call("a" * 200, "search", "success", 100),
        event_row("completion", agent="travel") | {"ts": now},
    ]
    append(folder, "agent_metrics", sums(events_table(*rows)))
    return folder


def test_once_prints_agents_and_tools_in_80_columns(
    lake: Path, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = semloop("top", "--once").splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    assert lines[0].startswith("0.8 events/min, 2 agents, 0 open episodes, 27% of")
    cells = next(line for line in lines if line.startswith("travel")).split()
    assert cells == ["travel", "11", "10", "30%", "2.0", "s", "0", "100%", "2.5"]
    assert any(line.startswith("aaaa") and "…" in line for line in lines)


def test_agents_can_be_selected_and_sorted(lake: Path, semloop: Semloop) -> None:
    by_events = semloop("top", "--once")
    assert by_events.index("search") < by_events.index("book")
    by_failures = semloop("top", "--once", "--sort", "failed")
    assert by_failures.index("search") > by_failures.index("book")
    assert "travel" not in semloop("top", "--once", "--agent", "a" * 200)
    assert "travel" not in semloop("top", "--once", "--namespace", "other")


def test_agents_of_equal_name_in_two_namespaces_are_two(
    lake: Path, semloop: Semloop
) -> None:
    row = event_row(agent="travel", namespace="acme") | {"ts": datetime.now(UTC)}
    append(lake, "agent_metrics", sums(events_table(row)))
    shown = semloop("top", "--once")
    assert "3 agents" in shown
    assert "acme/travel" in shown
    assert "default/travel" in shown


def test_without_a_terminal_it_says_what_to_do(lake: Path, semloop: Semloop) -> None:
    assert "semloop top --once" in semloop.refused("top")[1]


@pytest.mark.process
def test_keys_sort_pause_and_quit(lake: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "semloop", "top", "--interval", "0.5"],
        env=processes.environment(load(lake=str(lake)), COLUMNS="80", LINES="24"),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
    )
    os.close(theirs)
    seen = bytearray()

    def shown(text: bytes) -> bool:
        with suppress(OSError):
            seen.extend(os.read(ours, 2**16))
        return text in seen

    try:
        wait_for("the first screen", lambda: shown(b"sorted by events"))
        os.write(ours, b"s")
        wait_for("the next order", lambda: shown(b"sorted by failed"))
        os.write(ours, b"p")
        wait_for("the pause", lambda: shown(b"PAUSED"))
        os.write(ours, b"q")
        wait_for("its end", lambda: shown(b"-") and process.poll() is not None)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
