"""Wait for an unavailable broker at startup, and log each outage once."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from semloop.errors import BrokerUnavailable
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.retry import retry
from semloop.settings import Settings

# Pause between requests to a broker that does not answer.
RETRY_PAUSE_S = 0.5
R = TypeVar("R")

log = structlog.get_logger("kafka")


class BrokerWatch:
    """Queries `TopicAdmin`, and logs the beginning and the end of an outage."""

    def __init__(self, admin: TopicAdmin, settings: Settings) -> None:
        self._admin = admin
        self._wait_s = settings.archive.start_timeout_s
        self._down_since_s: float | None = None

    def describe(self) -> Topic:
        """Return the current topic; wait for a broker that does not answer.

        Raises:
            BrokerError: the topic does not exist, or access to it is denied.
            BrokerUnavailable: no answer within `start_timeout_s`.
        """
        return wait_for_broker(
            lambda: self._watched(self._admin.describe), self._wait_s
        )

    def check_unchanged(self, topic: Topic) -> None:
        """Check, without waiting, that the topic was not replaced.

        Raises:
            TopicChanged: it was replaced. BrokerError: it no longer exists.
            BrokerUnavailable: no answer; try again later.
        """
        self._watched(lambda: self._admin.check_unchanged(topic))

    def _watched(self, request: Callable[[], R]) -> R:
        try:
            answer = request()
        except BrokerUnavailable as error:
            if self._down_since_s is None:
                self._down_since_s = time.monotonic()
                log.warning("broker does not answer", reason=error.what)
            raise
        if self._down_since_s is not None:
            down_s = time.monotonic() - self._down_since_s
            self._down_since_s = None
            log.warning("broker answers again", away_s=round(down_s, 1))
        return answer


def wait_for_broker(request: Callable[[], R], seconds: float) -> R:
    """Send a request until the broker answers, at least once and for at most `seconds`.

    Raises:
        BrokerUnavailable: it did not answer in time.
    """
    return retry(
        request, on=BrokerUnavailable, seconds=seconds, wait_max_s=RETRY_PAUSE_S
    )
