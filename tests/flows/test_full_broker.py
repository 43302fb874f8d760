"""More is produced than the embedded broker keeps: it is refused, and not lost."""

from pathlib import Path

import psutil
import pytest

from semloop import Agent, Lake
from semloop.settings import Settings
from tests.flows.flow_runner import run_archive
from tests.support.services import EmbeddedBroker, wait_for

EVENTS, TEXT = 2_500, "a message of an agent, of some length " * 40
pytestmark = pytest.mark.process

MB_MAX = 1
COUNTS = "SELECT count(*), count(DISTINCT event_id) FROM events WHERE type = 'message'"


def test_events_that_a_full_broker_refuses_wait_in_the_spool_until_archive_runs(
    tmp_path: Path,
) -> None:
    broker = EmbeddedBroker(tmp_path, mb_max=MB_MAX)
    settings = Settings(lake=str(tmp_path / "lake"), kafka=broker.address).replace(
        spool=str(tmp_path / "spool"), spool_mb=64
    )
    agent = Agent("full", settings=settings)
    with agent.session() as session:
        for number in range(EVENTS):
            # Numbers of its own: equal texts would be compressed to nothing.
            noise = "".join(f"{number * 7919 * at:x}" for at in range(1, 60))
            session.message("user", f"{number} {noise} {TEXT}")
    log = tmp_path / "broker"

    def held() -> int:
        return sum(file.stat().st_size for file in log.glob("*.log"))

    wait_for("a full broker", lambda: held() > MB_MAX * 2**20 * 0.5)
    agent.flush(3.0)
    assert held() <= MB_MAX * 2**20
    assert agent.stats().delivered < EVENTS
    stored: list[tuple[int, int]] = []

    def is_stored() -> bool:
        run_archive(settings)
        found = Lake(settings.lake).sql(COUNTS).fetchone()
        assert found is not None
        stored.append(found)
        return bool(found[0] >= EVENTS)

    wait_for("all events in the lake", is_stored, 120)
    assert stored[-1] == (EVENTS, EVENTS)
    assert stored[0][0] < EVENTS
    assert agent.stats().dropped == {}
    assert psutil.Process(broker.pid).memory_info().rss < 100 * 2**20
    broker.kill()
