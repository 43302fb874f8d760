"""Requests to a broker that is down, with answers scripted by the test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stamina.instrumentation import set_on_retry_hooks
from structlog.testing import capture_logs

from semloop.errors import BrokerUnavailable, TopicChanged, TopicMissing
from semloop.kafka.topic import Topic
from semloop.settings import Settings, load
from sources.kafka import broker_watch
from sources.kafka.broker_watch import BrokerWatch, wait_for_broker

TOPIC = Topic("cluster-1", "agent-events", "topic-1", 4)
NO_ANSWER = BrokerUnavailable("No broker answers.")


class Answers:
    """Returns one scripted answer per request; the last one repeats."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.requests = 0

    def __call__(self, *_: object) -> Any:
        self.requests += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    describe = check_unchanged = __call__


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(broker_watch, "RETRY_PAUSE_S", 0.0)
    # Like a flow, which logs outages itself instead of through retry hooks.
    set_on_retry_hooks([])
    yield
    set_on_retry_hooks(None)


@pytest.fixture
def patient() -> Settings:
    return load({}, start_timeout_s=1000)


def watch(answers: Answers, settings: Settings) -> BrokerWatch:
    return BrokerWatch(answers, settings)  # type: ignore[arg-type]


def events(request: Callable[[], object]) -> list[str]:
    with capture_logs() as lines:
        request()
    assert all(line["log_level"] == "warning" for line in lines)
    return [line["event"] for line in lines]


def test_a_start_waits_for_the_broker_and_logs_it_once(patient: Settings) -> None:
    answers = Answers(NO_ANSWER, NO_ANSWER, NO_ANSWER, TOPIC)
    logged = events(watch(answers, patient).describe)
    assert answers.requests == 4
    assert logged == ["broker does not answer", "broker answers again"]


def test_a_start_waits_at_most_start_timeout_s() -> None:
    soon = load({}, start_timeout_s=1e-9)
    answers = Answers(NO_ANSWER)
    with pytest.raises(BrokerUnavailable):
        watch(answers, soon).describe()
    assert answers.requests == 1


def test_a_topic_error_is_raised_without_waiting(patient: Settings) -> None:
    answers = Answers(TopicMissing("The topic does not exist."))
    with pytest.raises(TopicMissing):
        watch(answers, patient).describe()
    assert answers.requests == 1


def test_each_outage_is_logged_at_its_beginning_and_its_end(patient: Settings) -> None:
    broker = watch(
        Answers(TOPIC, NO_ANSWER, NO_ANSWER, TOPIC, TOPIC, NO_ANSWER, TOPIC), patient
    )

    def seven_requests() -> None:
        for _ in range(7):
            try:
                broker.check_unchanged(TOPIC)
            except BrokerUnavailable:
                continue

    assert (
        events(seven_requests) == ["broker does not answer", "broker answers again"] * 2
    )


def test_a_changed_topic_is_raised(patient: Settings) -> None:
    with pytest.raises(TopicChanged):
        watch(Answers(TopicChanged("It was recreated.")), patient).check_unchanged(
            TOPIC
        )


def test_wait_for_broker_retries_until_there_is_an_answer() -> None:
    answers = Answers(NO_ANSWER, NO_ANSWER, 7)
    assert (wait_for_broker(answers, 1000.0), answers.requests) == (7, 3)
