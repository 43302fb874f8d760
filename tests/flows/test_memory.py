"""Events to memories, end to end, with processes started as users start them."""

import random
import signal
import subprocess
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.flows.flow_runner import (
    FlowProcess,
    kafka_admin,
    produce,
    run_archive,
    running_flow,
)
from tests.flows.memory_audit import (
    SESSION_EVENTS,
    memory_differences,
    produce_sessions,
    run_memory_flow,
    session_event,
)
from tests.support.commands import run_command
from tests.support.kill_and_audit import Load


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings without a model: these tests compare rows, not vectors."""
    return settings.replace(embedder="hashing")


def test_memory_makes_one_memory_per_event_and_per_closed_episode(
    settings: Settings,
) -> None:
    produce_sessions(settings, 400)
    run_archive(settings)
    run_memory_flow(settings)
    assert memory_differences(settings) == {}
    produce_sessions(settings, 200, first=10_000)
    run_archive(settings)
    run_memory_flow(settings)
    assert memory_differences(settings) == {}


def test_memory_continues_open_episodes_after_a_restart(settings: Settings) -> None:
    TopicAdmin(settings).ensure()
    for part in range(3):
        # One session of 20 events in three runs of the flow.
        steps = range(SESSION_EVENTS * part // 3, SESSION_EVENTS * (part + 1) // 3)
        produce(settings, [session_event(n, "s") for n in steps], key="s")
        run_archive(settings)
        run_memory_flow(settings)
    assert memory_differences(settings) == {}
    with Lake(settings=settings) as lake:
        states = "SELECT state, events, closed_by, revision > 1 FROM episodes"
        assert lake.sql(states).fetchall() == [
            ("closed", SESSION_EVENTS - 1, "completion", True)
        ]


def test_newer_copy_of_memory_takes_over_from_the_older(settings: Settings) -> None:
    produce_sessions(settings, 100)
    run_archive(settings)
    with running_flow(settings, flow="memory") as older:
        older.wait_until_logged("committed")
        with running_flow(settings, flow="memory") as newer:
            assert older.wait_for_exit()[0] == 3
            produce_sessions(settings, 100, first=10_000)
            run_archive(settings)
            newer.wait_until_logged("committed")
            assert newer.is_alive()
    run_memory_flow(settings)
    assert memory_differences(settings) == {}


@pytest.mark.real_broker
def test_memory_exits_for_a_restart_when_partitions_are_added(
    settings: Settings,
) -> None:
    produce_sessions(settings, 100)
    run_archive(settings)
    with running_flow(settings, flow="memory") as flow:
        flow.wait_until_logged("committed")
        partitions = NewPartitions(settings.topic, 6)
        admin = kafka_admin(settings)
        admin.create_partitions([partitions])[settings.topic].result(60)
        run_archive(settings)
        code, messages = flow.wait_for_exit()
        assert (code, len(messages)) == (4, 2)
    produce_sessions(settings, 100, first=10_000)
    run_archive(settings)
    run_memory_flow(settings)
    assert memory_differences(settings) == {}


def test_memory_waits_for_the_first_run_of_archive(settings: Settings) -> None:
    with running_flow(settings, flow="memory") as flow:
        flow.wait_until_logged("started")
        produce_sessions(settings, 100)
        run_archive(settings)
        flow.wait_until_logged("committed")


def test_memory_reports_deleted_memories_and_reindex_restores_them(
    settings: Settings, tmp_path: Path
) -> None:
    produce_sessions(settings, 200)
    run_archive(settings)
    run_memory_flow(settings)
    Path(settings.lake, "memories").rename(tmp_path / "gone")
    with running_flow(settings, "--until-caught-up", flow="memory") as flow:
        code, messages = flow.wait_for_exit()
    assert code == 1
    assert messages[1] == "Rebuild them: `semloop maintain reindex`."
    run_command(settings, "maintain", "reindex")
    run_memory_flow(settings)
    assert memory_differences(settings) == {}


def test_memory_rejects_flags_that_only_archive_supports(settings: Settings) -> None:
    with running_flow(settings, "--accept-gap", flow="memory") as flow:
        code, messages = flow.wait_for_exit()
    assert code == 1
    assert messages[0] == "--accept-gap applies to the topic, which only archive reads."


@pytest.mark.parametrize(
    "number_of_processes", [pytest.param(1, marks=pytest.mark.storm), 2]
)
def test_memory_killed_at_random_moments_loses_and_duplicates_no_memories(
    settings: Settings, number_of_processes: int
) -> None:
    storm(settings, 2_000, kills=3, seed=7, number_of_processes=number_of_processes)


@pytest.mark.storm
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("number_of_processes", [1, 3])
def test_memory_killed_many_times_loses_and_duplicates_no_memories(
    settings: Settings, number_of_processes: int
) -> None:
    storm(settings, 60_000, kills=40, seed=11, number_of_processes=number_of_processes)


def storm(
    settings: Settings, events: int, kills: int, seed: int, number_of_processes: int
) -> None:
    """Kill `memory` at random moments while `archive` runs; then compare."""
    TopicAdmin(settings).ensure()
    rng = random.Random(seed)
    load = Load(settings, events, seconds=kills * 2.5, value=session_event)
    arguments = [f"--processes={number_of_processes}"] * (number_of_processes > 1)
    with running_flow(settings) as archive:
        load.start()
        for _ in range(kills):
            with running_flow(settings, *arguments, flow="memory") as memory:
                _kill_after(memory, rng.uniform(0.5, 6.0))
        load.join()
        archive.stop()
    run_archive(settings)
    run_memory_flow(settings)
    assert memory_differences(settings) == {}


def _kill_after(flow: FlowProcess, seconds: float) -> None:
    """Kill a flow after this time, unless it has exited to be restarted."""
    try:
        code = flow.process.wait(seconds)
    except subprocess.TimeoutExpired:
        flow.signal(signal.SIGKILL)
    else:
        # At its start `archive` registers one partition after the other.
        assert code == 4, flow.messages()
