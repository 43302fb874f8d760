"""The topics that flows produce to: who makes them, and with which configuration."""

import pytest

from semloop.command.doctor import State
from semloop.command.doctor.cluster import Cluster
from semloop.command.stack.topic import StackTopic
from semloop.errors import BrokerError
from semloop.kafka import published_topics
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.doctor.run_checks import findings_of
from tests.sinks.published import publishing
from tests.support.services import SERVICES


def config(settings: Settings, name: str) -> dict[str, str]:
    topic = f"{settings.publish.prefix}{name}"
    with Cluster(settings.replace(topic=topic)) as cluster:
        return cluster.topic_config()


def test_topics_have_the_configuration_of_their_messages(settings: Settings) -> None:
    settings = publishing(settings, "metrics", "episodes")
    assert len(published_topics.missing(settings)) == 2
    names = published_topics.ensure(settings)
    assert published_topics.ensure(settings) == names
    assert published_topics.missing(settings) == []
    if SERVICES:
        assert config(settings, "metrics")["cleanup.policy"] == "compact,delete"
        assert config(settings, "episodes")["cleanup.policy"] == "delete"
    else:
        assert config(settings, "metrics")["retention.bytes"] == str(8 * 2**20)


def test_doctor_names_missing_topics_and_makes_them(settings: Settings) -> None:
    settings = publishing(settings, "metrics", "memories")
    (finding,) = findings_of(settings, "broker", "published topics")
    assert (finding.state, finding.fix is not None) == (State.WARN, True)
    assert f"{settings.publish.prefix}memories" in finding.found
    assert finding.fix is not None
    assert finding.fix().startswith("made ")
    (finding,) = findings_of(settings, "broker", "published topics")
    assert finding.state is State.OK


def test_doctor_looks_for_no_topics_unless_a_setting_names_some(
    settings: Settings,
) -> None:
    (finding,) = findings_of(settings, "broker", "published topics")
    assert (finding.state, finding.todo) == (State.OK, "")


def test_a_stack_whose_user_may_not_make_topics_starts(
    settings: Settings, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(settings: Settings) -> list[str]:
        msg = "The broker denies this client permission."
        raise BrokerError(msg, "Grant Create.")

    monkeypatch.setattr(published_topics, "ensure", refuse)
    reported: list[str] = []
    stack = StackTopic(publishing(settings, "metrics"), lambda: False, reported.append)
    stack.create(str(settings.kafka))
    assert stack.id == topic.topic_id
    assert "denies" in reported[0]
