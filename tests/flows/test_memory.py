"""Events to memories, end to end: processes as their users start them."""

import random
import signal
import subprocess
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.flows.a_flow import Flow, a_flow, admin_of, archived
from tests.flows.remembered import SESSION_EVENTS, a_step, wrong
from tests.kill_and_audit import Load
from tests.processes import check


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without a model: what counts here are rows."""
    return settings.replace(embedder="hashing")


def produced(settings: Settings, events: int, first: int = 0) -> None:
    """Whole sessions of `a_step`, acknowledged by the broker."""
    TopicAdmin(settings).ensure()
    load = Load(settings, events, 0.1, lambda n, s: a_step(n + first, f"{first}-{s}"))
    load.start()
    load.join()
    assert len(load.origins) == events


def remembered(settings: Settings) -> None:
    """Run `memory` until it has caught up, which must succeed."""
    with a_flow(settings, "--until-caught-up", flow="memory") as flow:
        assert flow.ends() == (0, [])


def test_every_event_and_every_closed_episode_is_one_memory(settings: Settings) -> None:
    produced(settings, 400)
    archived(settings)
    remembered(settings)
    assert wrong(settings) == {}
    produced(settings, 200, first=10_000)
    archived(settings)
    remembered(settings)
    assert wrong(settings) == {}


def test_open_episodes_go_on_after_a_restart(settings: Settings) -> None:
    TopicAdmin(settings).ensure()
    for part in range(3):
        # Sessions of 20 events in three runs of the flow.
        steps = range(SESSION_EVENTS * part // 3, SESSION_EVENTS * (part + 1) // 3)
        for step in steps:
            load = Load(settings, 1, 0.0, lambda _, s, step=step: a_step(step, "s"))  # type: ignore[misc]
            load.start()
            load.join()
        archived(settings)
        remembered(settings)
    assert wrong(settings) == {}
    with Lake(settings=settings) as lake:
        states = "SELECT state, events, closed_by, revision > 1 FROM episodes"
        assert lake.sql(states).fetchall() == [
            ("closed", SESSION_EVENTS - 1, "completion", True)
        ]


def test_the_newer_of_two_copies_goes_on(settings: Settings) -> None:
    produced(settings, 100)
    archived(settings)
    with a_flow(settings, flow="memory") as older:
        older.wait_until_logged("committed")
        with a_flow(settings, flow="memory") as newer:
            assert older.ends()[0] == 3
            produced(settings, 100, first=10_000)
            archived(settings)
            newer.wait_until_logged("committed")
            assert newer.alive()
    remembered(settings)
    assert wrong(settings) == {}


@pytest.mark.real_broker
def test_new_partitions_restart_it(settings: Settings) -> None:
    produced(settings, 100)
    archived(settings)
    with a_flow(settings, flow="memory") as flow:
        flow.wait_until_logged("committed")
        partitions = NewPartitions(settings.topic, 6)
        admin = admin_of(settings)
        admin.create_partitions([partitions])[settings.topic].result(30)
        archived(settings)
        code, said = flow.ends()
        assert (code, len(said)) == (4, 2)
    produced(settings, 100, first=10_000)
    archived(settings)
    remembered(settings)
    assert wrong(settings) == {}


def test_it_waits_where_archive_never_ran(settings: Settings) -> None:
    with a_flow(settings, flow="memory") as flow:
        flow.wait_until_logged("started")
        produced(settings, 100)
        archived(settings)
        flow.wait_until_logged("committed")


def test_memories_that_are_gone_are_told_and_made_anew(
    settings: Settings, tmp_path: Path
) -> None:
    produced(settings, 200)
    archived(settings)
    remembered(settings)
    Path(settings.lake, "memories").rename(tmp_path / "gone")
    with a_flow(settings, "--until-caught-up", flow="memory") as flow:
        code, said = flow.ends()
    assert code == 1
    assert said[1] == "Make them anew: `semloop maintain reindex`."
    check(settings, "maintain", "reindex")
    remembered(settings)
    assert wrong(settings) == {}


def test_flags_about_the_topic_are_refused(settings: Settings) -> None:
    with a_flow(settings, "--accept-gap", flow="memory") as flow:
        code, said = flow.ends()
    assert code == 1
    assert said[0] == "--accept-gap applies to the topic, which only archive reads."


@pytest.mark.parametrize("number_of_processes", [1, 2])
def test_kills_lose_and_double_nothing(
    settings: Settings, number_of_processes: int
) -> None:
    storm(settings, 4_000, kills=6, seed=7, number_of_processes=number_of_processes)


@pytest.mark.storm
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("number_of_processes", [1, 3])
def test_storm_of_kills(settings: Settings, number_of_processes: int) -> None:
    storm(settings, 60_000, kills=40, seed=11, number_of_processes=number_of_processes)


def storm(
    settings: Settings, events: int, kills: int, seed: int, number_of_processes: int
) -> None:
    """Kill `memory` at random moments while `archive` goes on; then compare."""
    TopicAdmin(settings).ensure()
    rng = random.Random(seed)
    load = Load(settings, events, seconds=kills * 2.5, value=a_step)
    arguments = [f"--processes={number_of_processes}"] * (number_of_processes > 1)
    with a_flow(settings) as archive:
        load.start()
        for _ in range(kills):
            with a_flow(settings, *arguments, flow="memory") as memory:
                _live(memory, rng.uniform(0.5, 6.0))
        load.join()
        archive.stop()
    archived(settings)
    remembered(settings)
    assert wrong(settings) == {}


def _live(flow: Flow, seconds: float) -> None:
    """Let it run so long, but for its end, which only a kill brings."""
    try:
        code = flow.process.wait(seconds)
    except subprocess.TimeoutExpired:
        flow.signal(signal.SIGKILL)
    else:
        # Partitions are met one after the other at the start of archive.
        assert code == 4, flow.said()
