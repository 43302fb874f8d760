"""Events to memories on an object store: the flow does not depend on local folders."""

import pytest

from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.flows.a_flow import a_flow, archived
from tests.flows.remembered import wrong
from tests.flows.test_memory import produced, remembered
from tests.processes import check


@pytest.fixture
def settings(s3_settings: Settings) -> Settings:
    return s3_settings.replace(embedder="hashing")


def test_memories_are_made_maintained_reindexed_and_recalled(
    settings: Settings,
) -> None:
    produced(settings, 200)
    archived(settings)
    with a_flow(settings, flow="memory") as flow:
        flow.wait_until_logged("committed")
        flow.stop()  # by SIGKILL
    remembered(settings)
    assert wrong(settings) == {}
    check(settings, "maintain", "index")
    check(settings, "maintain", "reindex")
    assert wrong(settings) == {}
    produced(settings, 100, first=10_000)
    archived(settings)
    remembered(settings)
    assert wrong(settings) == {}
    with Lake(settings=settings, stale_s=0) as lake:
        (hit,) = lake.recall("case 10003", 1, kind="event").to_pylist()
    assert "case 10003" in hit["text"]
