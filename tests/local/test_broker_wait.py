"""How a supervisor waits for its broker, and knows the topic of one that it restarts."""

import shutil
from pathlib import Path

import pytest

from semloop.command.stack.broker import RETRY_S, make_topic
from semloop.command.stack.process import Process
from semloop.command.stack.topic import StackTopic
from semloop.errors import BrokerUnavailable
from semloop.settings import load
from tests.support.services import EmbeddedBroker, free_port, wait_for


def test_a_supervisor_pauses_between_two_attempts_to_reach_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("semloop.command.stack.broker.time.sleep", pauses.append)
    settings = load({}, kafka=f"127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnavailable):
        make_topic(settings, 60.0, stopping=lambda: len(pauses) == 3)
    assert pauses == [RETRY_S] * 3


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> StackTopic:
    monkeypatch.setattr("semloop.command.stack.topic.AGAIN_S", 0.0)
    return StackTopic(load({}), lambda: False, pytest.fail)


@pytest.mark.process
def test_the_id_of_the_topic_is_known_while_and_after_the_broker_is_restarted(
    tmp_path: Path, topic: StackTopic
) -> None:
    first = EmbeddedBroker(tmp_path)
    topic.create(first.address)
    known = topic.id
    first.kill()
    topic.ask_again()
    # It is down, for as long as it likes; then its log is recovered.
    assert not topic.poll(None)
    assert topic.id == known is not None
    second = EmbeddedBroker(tmp_path, first.address)
    assert not topic.poll(Process.of(second.pid))
    assert topic.id == known
    second.kill()
    # Its log was damaged: the topic is another one.
    shutil.rmtree(tmp_path / "broker")
    third = EmbeddedBroker(tmp_path, first.address)
    topic.ask_again()
    wait_for("the new id", lambda: topic.poll(Process.of(third.pid)))
    assert topic.id not in (None, known)
    third.kill()


@pytest.mark.process
def test_a_server_that_has_the_port_of_the_broker_is_not_asked(
    tmp_path: Path, topic: StackTopic
) -> None:
    (tmp_path / "other").mkdir()
    other = EmbeddedBroker(tmp_path / "other")
    idle = EmbeddedBroker(tmp_path)
    topic.create(idle.address)
    known = topic.id
    topic._settings = topic._settings.replace(kafka=other.address)
    topic.ask_again()
    assert not topic.poll(Process.of(idle.pid))
    assert topic.id == known
    other.kill()
    idle.kill()
