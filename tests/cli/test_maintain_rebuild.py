"""`semloop maintain rebuild`: what it prints, and its exit codes."""

from pathlib import Path

import pytest

from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.flows.rebuilt_lake import both, delete_both, episodes_by_id
from tests.flows.reindex_lake import (
    LATER_MS,
    Events,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)
from tests.support.commands import execute

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("log_setup_restored")]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake that `memory` wrote, which the environment names."""
    found = small_poll_settings(tmp_path / "lake")
    monkeypatch.setenv("SEMLOOP_LAKE", found.lake)
    monkeypatch.setenv("SEMLOOP_EMBEDDER", "hashing")
    events = Events(found)
    events.add(overlapping_sessions(60))
    run_memory(found, events, later_ms=LATER_MS)
    return found


def run(*arguments: str) -> tuple[int, str]:
    """Return the exit code and what the command printed."""
    code, out, _ = execute({}, "maintain", "rebuild", *arguments)
    return code, out


def test_rebuild_restores_deleted_tables_and_reports_what_it_made(
    settings: Settings,
) -> None:
    before = both(settings)
    delete_both(settings)
    code, output = run("--dry-run")
    assert (code, "60 events would be read" in output) == (0, True)
    code, output = run()
    assert code == 0
    assert "Events read: 60." in output
    assert "Generation 2 is now current." in output
    assert both(settings) == before


def test_verify_exits_with_code_1_if_an_episode_differs(settings: Settings) -> None:
    code, output = run("--verify")
    assert (code, "The table is what `events` give." in output) == (0, True)
    victim = next(iter(episodes_by_id(settings)))
    Storage.of(settings).open("episodes").update(
        updates={"reward": "0.123"}, predicate=f"episode_id = '{victim}'"
    )
    code, output = run("--verify")
    assert code == 1
    assert "): 1." in output
    assert f"- {victim} (default/" in output
