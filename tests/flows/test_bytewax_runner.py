"""Flows as Bytewax's own runner starts them, which is what waxctl does."""

import signal
import urllib.request

import pytest

from semloop.kafka.topic import Topic
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.builders import an_event
from tests.flows.flow_runner import Flow, a_flow, archived, produce
from tests.flows.reindex_lake import generation, held
from tests.flows.test_memory import remembered
from tests.services import free_port

SECRET = "the word that only the events hold"


def metrics_of(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text: str = answer.read().decode()
    return text


@pytest.mark.parametrize("flow", ["archive", "memory"])
def test_it_logs_serves_metrics_and_ends_like_ours(
    settings: Settings, topic: Topic, flow: str
) -> None:
    produce(
        settings, [an_event("message", payload={"role": "user", "content": SECRET})]
    )
    if flow == "memory":
        archived(settings)
    port = free_port()
    options = {"SEMLOOP_METRICS_PORT": str(port), "SEMLOOP_LOG_FORMAT": "json"}
    with a_flow(settings, flow=flow, runner="bytewax", **options) as running:
        running.wait_until_logged("committed")
        assert [line["flow"] for line in running.logged("started")] == [flow]
        metrics = metrics_of(port)
        running.signal(signal.SIGTERM)
        code, said = running.ends()
    assert f'semloop_commits_total{{flow="{flow}"' in metrics
    assert (code, said) == (-signal.SIGTERM, [])
    assert SECRET not in running.file.read_text()
    with Lake(settings=settings) as lake:
        table = {"archive": "events", "memory": "episodes"}[flow]
        assert lake.sql(f"SELECT count(*) FROM {table}").fetchall() == [(1,)]


def test_a_second_copy_by_it_ends_the_older_one_with_exit_3(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 10)
    with a_flow(settings, runner="bytewax") as older:
        older.wait_until_stored(10)
        with a_flow(settings, runner="bytewax") as newer:
            code, said = older.ends()
            produce(settings, 10)
            newer.wait_until_stored(10)
    assert (code, len(said), "took over" in said[0]) == (3, 2, True)


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("SEMLOOP_COMMIT_ROWS", "many", "commit_rows"),
        ("SEMLOOP_TOPIC", "absent", "There is no topic 'absent'"),
    ],
)
def test_what_is_set_wrongly_is_two_lines_and_exit_1(
    settings: Settings, topic: Topic, variable: str, value: str, what: str
) -> None:
    wrong: Flow
    with a_flow(settings, runner="bytewax", **{variable: value}) as wrong:
        code, said = wrong.ends()
    assert (code, len(said)) == (1, 2), said
    assert what in said[0]


def test_scheduled_flows_end_when_their_work_is_done(
    settings: Settings, topic: Topic
) -> None:
    settings = settings.replace(embedder="hashing")
    produce(settings, 20)
    archived(settings)
    remembered(settings)
    before = held(settings)
    for flow, steps in (("reindex", {"events", "vectors"}), ("index", {"vectors"})):
        with a_flow(
            settings, flow=flow, runner="bytewax", SEMLOOP_LOG_FORMAT="json"
        ) as running:
            assert running.ends() == (0, [])
        assert steps <= {line["step"] for line in running.logged("step")}
    assert (generation(settings), held(settings)) == (2, before)


def test_a_scheduled_flow_without_anything_to_do_is_two_lines(
    settings: Settings,
) -> None:
    with a_flow(settings, flow="reindex", runner="bytewax") as running:
        code, said = running.ends()
    assert (code, len(said)) == (1, 2)
    assert said[0] == f"The lake {settings.lake} has no episodes yet."
