"""`semloop maintain check` does not miss memories that have expired."""

from pathlib import Path
from typing import Any

import pytest

from flows.retain import retain
from semloop.command.doctor import State
from semloop.command.doctor.completeness.memories import check
from semloop.command.doctor.context import CheckContext
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.flows.reindex_lake import (
    LATER_MS,
    Events,
    memories_by_id,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "limit",
    [
        {"retention": {"memories": 2.0}},
        {"retention": {"memories": 2.0, "memories/o'ther": 4.0}},
        {"memories_importance_min": {"*": 0.5}},
        {"memories_max": {"*": 3}},
    ],
)
def test_memories_that_have_expired_are_not_missing(
    tmp_path: Path, limit: dict[str, Any]
) -> None:
    settings = small_poll_settings(tmp_path / "la ke")
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events, later_ms=LATER_MS)
    before, own = memories_by_id(settings), settings.replace(**limit)
    retain(own)
    after = memories_by_id(settings)
    assert len(after) < len(before)
    assert states(own) == [State.OK]
    # Without the limit, they are.
    assert states(settings) == [State.WARN]


def states(settings: Settings) -> list[State]:
    """Return what the check of the memories finds."""
    storage = Storage.of(settings)
    context = CheckContext(settings=settings, storage=storage)
    return [finding.state for finding in check(context)]
