"""A broker that does not answer: waited for at a start, said once while it lasts."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from semloop.errors import BrokerUnavailable
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.retry import retry
from semloop.settings import Settings

# Between questions to a broker that does not answer.
ASK_AGAIN_S = 0.5
R = TypeVar("R")

log = structlog.get_logger("kafka")


class BrokerWatch:
    """Asks `TopicAdmin`; of an outage it logs the beginning and the end."""

    def __init__(self, admin: TopicAdmin, settings: Settings) -> None:
        self._admin = admin
        self._wait_s = settings.archive.start_timeout_s
        self._away_since_s: float | None = None

    def describe(self) -> Topic:
        """The topic as it is now; a broker that is away is waited for.

        Raises:
            BrokerError: the topic does not exist, or may not be seen.
            BrokerUnavailable: no answer within `start_timeout_s`.
        """
        return wait_for_broker(lambda: self._ask(self._admin.describe), self._wait_s)

    def still(self, topic: Topic) -> None:
        """Make sure, without waiting, that it is still the same topic.

        Raises:
            TopicChanged: it is not. BrokerError: it does not exist any more.
            BrokerUnavailable: no answer; ask again later.
        """
        self._ask(lambda: self._admin.check_unchanged(topic))

    def _ask(self, question: Callable[[], R]) -> R:
        try:
            answer = question()
        except BrokerUnavailable as error:
            if self._away_since_s is None:
                self._away_since_s = time.monotonic()
                log.warning("broker does not answer", reason=error.what)
            raise
        if self._away_since_s is not None:
            away_s = time.monotonic() - self._away_since_s
            self._away_since_s = None
            log.warning("broker answers again", away_s=round(away_s, 1))
        return answer


def wait_for_broker(question: Callable[[], R], seconds: float) -> R:
    """Ask until the broker answers, for so many seconds and once at least.

    Raises:
        BrokerUnavailable: it never did.
    """
    return retry(
        question, on=BrokerUnavailable, seconds=seconds, wait_max_s=ASK_AGAIN_S
    )
