"""Asking a broker that is away; the answers are in the test's hands."""

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
    """Gives one answer after the other; the last one for ever."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.asked = 0

    def __call__(self, *_: object) -> Any:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    describe = check_unchanged = __call__


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(broker_watch, "ASK_AGAIN_S", 0.0)
    # As a flow sets them: none logs a broker that is away.
    set_on_retry_hooks([])
    yield
    set_on_retry_hooks(None)


@pytest.fixture
def patient() -> Settings:
    return load({}, start_timeout_s=1000)


def watch(answers: Answers, settings: Settings) -> BrokerWatch:
    return BrokerWatch(answers, settings)  # type: ignore[arg-type]


def events(ask: Callable[[], object]) -> list[str]:
    with capture_logs() as lines:
        ask()
    assert all(line["log_level"] == "warning" for line in lines)
    return [line["event"] for line in lines]


def test_a_start_waits_for_the_broker_and_says_so_once(patient: Settings) -> None:
    answers = Answers(NO_ANSWER, NO_ANSWER, NO_ANSWER, TOPIC)
    said = events(watch(answers, patient).describe)
    assert answers.asked == 4
    assert said == ["broker does not answer", "broker answers again"]


def test_a_start_waits_no_longer_than_the_setting_says() -> None:
    soon = load({}, start_timeout_s=1e-9)
    answers = Answers(NO_ANSWER)
    with pytest.raises(BrokerUnavailable):
        watch(answers, soon).describe()
    assert answers.asked == 1


def test_what_is_wrong_with_a_topic_is_not_waited_for(patient: Settings) -> None:
    answers = Answers(TopicMissing("There is no such topic."))
    with pytest.raises(TopicMissing):
        watch(answers, patient).describe()
    assert answers.asked == 1


def test_each_outage_is_said_at_its_beginning_and_its_end(patient: Settings) -> None:
    asked = watch(
        Answers(TOPIC, NO_ANSWER, NO_ANSWER, TOPIC, TOPIC, NO_ANSWER, TOPIC), patient
    )

    def seven() -> None:
        for _ in range(7):
            try:
                asked.still(TOPIC)
            except BrokerUnavailable:
                continue

    assert events(seven) == ["broker does not answer", "broker answers again"] * 2


def test_a_changed_topic_is_passed_on(patient: Settings) -> None:
    with pytest.raises(TopicChanged):
        watch(Answers(TopicChanged("It was made again.")), patient).still(TOPIC)


def test_patience_asks_until_there_is_an_answer() -> None:
    answers = Answers(NO_ANSWER, NO_ANSWER, 7)
    assert (wait_for_broker(answers, 1000.0), answers.asked) == (7, 3)
