"""The flow `metrics`, end to end: sums equal to those over `events`, after kills too."""

import json
import random
import signal
import subprocess
from collections.abc import Callable

import pytest

from flows.compact import compact
from semloop.agent_metrics import COUNTED, TOKENS
from semloop.agent_metrics import SUMS as SUM_TYPES
from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.flows.flow_runner import run_archive, running_flow
from tests.flows.memory_audit import produce_sessions, session_event
from tests.support.in_process import run_flow
from tests.support.kill_and_audit import Load

KEYS = (
    "namespace, agent, agent_version, user_id, tool, model, topic_id, kafka_partition"
)
COUNTS = ", ".join(
    f"count(*) FILTER ({column} = '{value}') AS {name}"
    for name, (column, value) in COUNTED.items()
)
SUMS = ", ".join(f"sum({name}) AS {name}" for name in COUNTED)
AMOUNTS = ", ".join(
    f"coalesce(sum({name}::{SUM_TYPES[name]}), 0) AS {name}"
    for name in ("credits_used", *TOKENS)
)
EVENTS = f"""
SELECT date_trunc('minute', ts) AS minute, {KEYS}, count(*) AS events, {COUNTS},
    {AMOUNTS}
FROM events GROUP BY ALL ORDER BY ALL
"""
METRICS = f"""
SELECT minute, {KEYS}, sum(events) AS events, {SUMS}, {AMOUNTS}
FROM tables.agent_metrics GROUP BY ALL ORDER BY ALL
"""


def costly_event(number: int, session: str) -> bytes:
    """An event of a session with a version and credits; a message has tokens too."""
    event = json.loads(session_event(number, session))
    event["meta"]["credits_used"] = number % 4 * 0.1
    event["meta"]["agent_version"] = f"1.{number % 3}"
    if event["type"] == "message":
        event["payload"] |= {"input_tokens": number, "output_tokens": 7}
    return json.dumps(event).encode()


def assert_equal_to_events(settings: Settings) -> None:
    with Lake(settings=settings) as lake:
        found, expected = (lake.sql(q).fetchall() for q in (METRICS, EVENTS))
    assert found == expected
    assert expected


def test_sums_are_those_over_events_across_runs(settings: Settings) -> None:
    for first in (0, 10_000):
        produce_sessions(settings, 300, first=first)
        run_archive(settings)
        metrics = run_flow(settings, "metrics")
        assert metrics.value("semloop_summed_events_total", flow="metrics") == 300
    assert_equal_to_events(settings)
    compact(settings)
    assert_equal_to_events(settings)


@pytest.mark.parametrize("flow", ["metrics", "memory"])
def test_a_flow_that_finds_no_events_says_so(settings: Settings, flow: str) -> None:
    with running_flow(settings, "--until-caught-up", flow=flow) as process:
        assert process.wait_for_exit()[0] == 0
    (line,) = process.logged("no events: archive has read nothing of this topic yet")
    assert line["lake"] == settings.lake
    assert "semloop run archive" in line["todo"]


def test_an_existing_lake_is_summed_from_its_first_event(settings: Settings) -> None:
    produce_sessions(settings, 400)
    run_archive(settings)
    compact(settings)
    run_flow(settings, "metrics")
    assert_equal_to_events(settings)


def test_a_newer_copy_takes_over_from_the_older(settings: Settings) -> None:
    produce_sessions(settings, 100)
    run_archive(settings)
    with running_flow(settings, flow="metrics") as older:
        older.wait_until_logged("committed")
        with running_flow(settings, flow="metrics") as newer:
            assert older.wait_for_exit()[0] == 3
            produce_sessions(settings, 100, first=10_000)
            run_archive(settings)
            newer.wait_until_logged("committed")
            assert newer.is_alive()
    run_flow(settings, "metrics")
    assert_equal_to_events(settings)


@pytest.mark.parametrize("number_of_processes", [1, 2])
def test_kills_lose_and_double_no_event(
    settings: Settings, number_of_processes: int
) -> None:
    storm(settings, 2_000, 4, number_of_processes, lambda: compact(settings))


@pytest.mark.storm
@pytest.mark.timeout(1_800)
def test_many_kills_lose_and_double_no_event(settings: Settings) -> None:
    storm(settings, 60_000, 40, 3, lambda: compact(settings))


def storm(
    settings: Settings,
    events: int,
    kills: int,
    number_of_processes: int,
    maintain: Callable[[], object],
) -> None:
    """Kill `metrics` at random moments while `archive` runs; then compare."""
    TopicAdmin(settings).ensure()
    rng = random.Random(kills)
    load = Load(settings, events, seconds=kills * 2.0, value=costly_event)
    arguments = [f"--processes={number_of_processes}"] * (number_of_processes > 1)
    with running_flow(settings) as archive:
        load.start()
        for _ in range(kills):
            with running_flow(settings, *arguments, flow="metrics") as flow:
                try:
                    code = flow.process.wait(rng.uniform(0.5, 4.0))
                except subprocess.TimeoutExpired:
                    flow.signal(signal.SIGKILL)
                else:
                    # At its start `archive` registers one partition after the other.
                    assert code == 4, flow.messages()
            maintain()
        load.join()
        archive.stop()
    run_archive(settings)
    run_flow(settings, "metrics")
    assert_equal_to_events(settings)
