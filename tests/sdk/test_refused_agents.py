"""Agents whom a real broker refuses: no topic, no permission, a wrong password."""

import logging
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from semloop.agent.agent import Agent
from semloop.agent.warn import wait_logged
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings
from tests.kafka.secure_broker import PASSWORD, Secure, grant, settings_for, user
from tests.sdk.sent_events import sent_ids
from tests.support.lakes import a_topic
from tests.support.services import RealBroker, wait_for

pytestmark = pytest.mark.real_broker

NO_TOPICS = "auto.create.topics.enable=false"
# The first attempt waits a second for another broker to answer otherwise.
FLUSH_S = 60


@pytest.fixture
def refused(secure: Secure, tmp_path: Path) -> Settings:
    """Settings of a user who may do nothing; the topic does not exist."""
    return settings_of_ann(secure, tmp_path, PASSWORD)


def settings_of_ann(secure: Secure, folder: Path, password: str) -> Settings:
    ann = user("ann", password, "PLAIN")
    own = settings_for(secure, "open_login", ann | {"kafka_security": "sasl_plaintext"})
    return own.replace(topic=a_topic(), spool=str(folder / "spool"))


def end(agent: Agent) -> None:
    agent._emitter.close(FLUSH_S)


def logged(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


def emitted(agent: Agent, *texts: str) -> set[str]:
    return {str(agent.session("s-1").message("user", text)) for text in texts}


def test_events_wait_for_a_permission_and_are_sent_when_it_is_granted(
    secure: Secure, refused: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    agent = Agent("tester", settings=refused)
    ids = emitted(agent, "one", "two")
    wait_for("the refusal", lambda: agent.stats().broker_available is False)
    wait_for("its line", lambda: logged(caplog, "denies the user 'ann' permission"))
    assert (agent.stats().waiting, agent.dropped) == (2, 0)
    all_allowed = refused.replace(
        kafka=secure.plaintext, kafka_user=None, kafka_password=None,
        kafka_security=None, kafka_sasl_mechanism=None,
    )  # fmt: skip
    with TopicAdmin(all_allowed) as admin:
        admin.ensure()
    # Allowed to read about the topic, not to write to it.
    grant(secure.plaintext, "ann", "TOPIC", refused.topic, "DESCRIBE")
    assert not agent.flush(3)
    assert (agent.stats().waiting, agent.dropped) == (2, 0)
    grant(secure.plaintext, "ann", "TOPIC", refused.topic, "WRITE")
    assert agent.flush(FLUSH_S)
    ids |= emitted(agent, "three")
    end(agent)
    assert set(sent_ids(all_allowed)) == ids
    assert logged(caplog, "is unavailable") == 1
    assert list(Path(refused.agent.spool).iterdir()) == []


def test_events_of_an_agent_with_a_wrong_password_stay_in_the_spool(
    secure: Secure, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    wrong = settings_of_ann(secure, tmp_path, "wr0ng")
    agent = Agent("tester", settings=wrong)
    emitted(agent, "one")
    wait_for("its line", lambda: logged(caplog, "rejects the user 'ann'"))
    assert not agent.flush(0.1)
    end(agent)
    wait_logged(10)
    assert logged(caplog, "wr0ng") == 0
    assert (agent.stats().waiting, agent.dropped) == (1, 0)
    assert len(list(Path(wrong.agent.spool).glob("*.seg"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("own_broker", [NO_TOPICS], indirect=True)
def test_a_topic_that_is_deleted_is_created_again_without_the_help_of_the_broker(
    own_broker: RealBroker, tmp_path: Path
) -> None:
    own = Settings().replace(
        kafka=own_broker.address, topic=a_topic(), spool=str(tmp_path / "spool")
    )
    agent = Agent("tester", settings=own)
    first = emitted(agent, "one")
    assert agent.flush(FLUSH_S)
    assert set(sent_ids(own)) == first
    admin = AdminClient({"bootstrap.servers": own_broker.address})
    for done in admin.delete_topics([own.topic]).values():
        done.result(60)
    later = emitted(agent, "two", "three")
    assert agent.flush(FLUSH_S)
    assert agent.dropped == 0
    end(agent)
    assert set(sent_ids(own)) == later
