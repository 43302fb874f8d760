"""Host programs with brokers that are good, slow, silent, foreign or replaced."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from semloop.errors import TopicMissing
from semloop.settings import Settings
from tests.sdk.hosts.bad_brokers import bad_broker
from tests.sdk.hosts.host_run import Ended, run_host
from tests.sdk.hosts.programs import PROGRAMS, Program
from tests.sdk.sent_events import sent_ids
from tests.support.services import EmbeddedBroker, wait_for

pytestmark = pytest.mark.process

GOOD = ("forks", "closes", "pools fork", "signals", "loggers forks", "ends SIGKILL")
PROGRAMS_WITH_A_BROKER = [
    Program("c_forks"),
    *(each for each in PROGRAMS if str(each) in GOOD),
]
LATER = Program("later")


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a spool of this test."""
    return settings.replace(spool=str(tmp_path / "spool"))


def assert_sent(ended: Ended, settings: Settings, folder: Path) -> None:
    """Let the next process send what is left; assert that the topic has each once."""
    run_host(LATER, folder, settings).assert_ended_well()
    ended.assert_kept(sent_ids(settings))


@pytest.mark.parametrize("program", PROGRAMS_WITH_A_BROKER, ids=str)
def test_the_next_process_sends_what_a_host_left(
    own: Settings, tmp_path: Path, program: Program
) -> None:
    ended = run_host(program, tmp_path, own)
    ended.assert_ended_well()
    assert_sent(ended, own, tmp_path)


@pytest.mark.parametrize("how", ["silent", "closing", "garbage", "slow"])
def test_a_host_with_a_bad_broker_ends_in_time_and_its_events_are_kept(
    own: Settings, tmp_path: Path, how: str
) -> None:
    with bad_broker(how, str(own.kafka)) as address:
        ended = run_host(Program("threads"), tmp_path, own.replace(kafka=address))
    ended.assert_ended_well()
    # A slow one may have got some.
    sent: list[str] = []
    with contextlib.suppress(TopicMissing):
        sent = sent_ids(own)
    ended.assert_kept(sent)


def test_another_cluster_in_the_place_of_the_broker_gets_later_events(
    own: Settings, tmp_path: Path
) -> None:
    broker = EmbeddedBroker(tmp_path)
    own = own.replace(kafka=broker.address)
    flushes = tmp_path / "notes" / "flushes"
    with ThreadPoolExecutor(1) as pool:
        try:
            running = pool.submit(run_host, Program("waits"), tmp_path, own)
            wait_for("flush", flushes.exists)
            before = sent_ids(own)
            broker.kill()
            broker = EmbeddedBroker(tmp_path, broker.address)
            (tmp_path / "first").touch()
            wait_for("second flush", lambda: flushes.read_text().count("\n") == 2)
            (tmp_path / "second").touch()
            ended = running.result()
            after = sent_ids(own)
        finally:
            broker.kill()
    ended.assert_ended_well()
    assert flushes.read_text() == "True\nTrue\n"
    assert before
    assert after
    ended.assert_kept([*before, *after])
