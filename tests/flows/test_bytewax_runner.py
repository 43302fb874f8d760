"""Flows started by Bytewax's own runner, which waxctl uses."""

import signal
import urllib.request

import pytest

from semloop.kafka.topic import Topic
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.flows.flow_runner import FlowProcess, produce, run_archive, running_flow
from tests.flows.memory_audit import run_memory_flow
from tests.flows.reindex_lake import current_generation, memories_by_id
from tests.support.builders import an_event
from tests.support.services import free_port

SECRET = "a text that only the events contain"


def served(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as response:
        text: str = response.read().decode()
    return text


@pytest.mark.parametrize("flow", ["archive", "memory"])
def test_bytewax_runner_logs_serves_metrics_and_probes_and_ends_on_sigterm(
    settings: Settings, topic: Topic, flow: str
) -> None:
    settings = settings.replace(embedder="hashing")
    produce(
        settings, [an_event("message", payload={"role": "user", "content": SECRET})]
    )
    if flow == "memory":
        run_archive(settings)
    port = free_port()
    options = {"SEMLOOP_METRICS_PORT": str(port), "SEMLOOP_LOG_FORMAT": "json"}
    with running_flow(settings, flow=flow, runner="bytewax", **options) as running:
        running.wait_until_logged("committed")
        assert [line["flow"] for line in running.logged("started")] == [flow]
        metrics = served(port, "metrics")
        probes = [served(port, "ready"), served(port, "live")]
        running.signal(signal.SIGTERM)
        code, messages = running.wait_for_exit()
    assert f'semloop_commits_total{{flow="{flow}"' in metrics
    assert probes == ["ready: yes\n", "live: yes\n"]
    assert (code, messages) == (-signal.SIGTERM, [])
    assert SECRET not in running.file.read_text()
    with Lake(settings=settings) as lake:
        table = {"archive": "events", "memory": "episodes"}[flow]
        assert lake.sql(f"SELECT count(*) FROM {table}").fetchall() == [(1,)]


def test_second_copy_under_bytewax_runner_ends_the_older_with_exit_code_3(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 10)
    with running_flow(settings, runner="bytewax") as older:
        older.wait_until_stored(10)
        with running_flow(settings, runner="bytewax") as newer:
            code, messages = older.wait_for_exit()
            produce(settings, 10)
            newer.wait_until_stored(10)
    assert (code, len(messages), "took over" in messages[0]) == (3, 2, True)


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("SEMLOOP_COMMIT_ROWS", "many", "commit_rows"),
        ("SEMLOOP_TOPIC", "absent", "There is no topic 'absent'"),
    ],
)
def test_bytewax_runner_reports_a_wrong_setting_in_two_lines_with_exit_code_1(
    settings: Settings, topic: Topic, variable: str, value: str, problem: str
) -> None:
    flow: FlowProcess
    with running_flow(settings, runner="bytewax", **{variable: value}) as flow:
        code, messages = flow.wait_for_exit()
    assert (code, len(messages)) == (1, 2), messages
    assert problem in messages[0]


def test_scheduled_flows_under_bytewax_runner_exit_when_their_work_is_done(
    settings: Settings, topic: Topic
) -> None:
    settings = settings.replace(embedder="hashing")
    produce(settings, 20)
    run_archive(settings)
    run_memory_flow(settings)
    before = memories_by_id(settings)
    for flow, steps in (("reindex", {"events", "vectors"}), ("index", {"vectors"})):
        with running_flow(
            settings, flow=flow, runner="bytewax", SEMLOOP_LOG_FORMAT="json"
        ) as running:
            assert running.wait_for_exit() == (0, [])
        assert steps <= {line["step"] for line in running.logged("step started")}
    assert (current_generation(settings), memories_by_id(settings)) == (2, before)


def test_reindex_under_bytewax_runner_reports_a_lake_without_episodes(
    settings: Settings,
) -> None:
    with running_flow(settings, flow="reindex", runner="bytewax") as running:
        code, messages = running.wait_for_exit()
    assert (code, len(messages)) == (1, 2)
    assert messages[0] == f"The lake {settings.lake} has no episodes yet."
