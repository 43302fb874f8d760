"""Events to memories on an object store: the flow does not depend on local folders."""

import pytest

from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.flows.flow_runner import run_archive, running_flow
from tests.flows.memory_audit import (
    memory_differences,
    produce_sessions,
    run_memory_flow,
)
from tests.support.commands import run_command


@pytest.fixture
def settings(s3_settings: Settings) -> Settings:
    return s3_settings.replace(embedder="hashing")


def test_memories_are_made_maintained_reindexed_and_recalled(
    settings: Settings,
) -> None:
    produce_sessions(settings, 200)
    run_archive(settings)
    with running_flow(settings, flow="memory") as flow:
        flow.wait_until_logged("committed")
        flow.stop()  # by SIGKILL
    run_memory_flow(settings)
    assert memory_differences(settings) == {}
    run_command(settings, "maintain", "index")
    run_command(settings, "maintain", "reindex")
    assert memory_differences(settings) == {}
    produce_sessions(settings, 100, first=10_000)
    run_archive(settings)
    run_memory_flow(settings)
    assert memory_differences(settings) == {}
    with Lake(settings=settings, stale_s=0) as lake:
        (hit,) = lake.recall("case 10003", 1, kind="event").to_pylist()
    assert "case 10003" in hit["text"]
