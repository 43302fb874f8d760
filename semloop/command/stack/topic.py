"""The topic of a stack, and its id, by which agents recognize the stack's broker."""

import time
from collections.abc import Callable

from semloop.command.stack.broker import make_topic
from semloop.command.stack.process import Process
from semloop.errors import SemLoopError
from semloop.settings import Settings

BROKER_ANSWERS_S = 30.0
# Pause between two questions to a broker that was restarted.
AGAIN_S = 1.0


class StackTopic:
    """Creates the topic, and asks an embedded broker that was restarted for it.

    `id`: None until the topic exists. It stays during a restart, since the broker keeps
    its topics: meanwhile no other server on its port is taken for it.
    """

    def __init__(
        self,
        settings: Settings,
        stopping: Callable[[], bool],
        report: Callable[[str], None],
    ) -> None:
        self.id: str | None = None
        self._settings = settings
        self._stopping = stopping
        self._report = report
        self._due_s: float | None = None
        self._problem = ""

    def create(self, kafka: str) -> None:
        """Create the topic if it is missing, as soon as the broker answers.

        Raises:
            BrokerUnavailable: it does not answer in time. BrokerError: it refuses.
        """
        self._settings = self._settings.replace(kafka=kafka)
        self.id = make_topic(self._settings, BROKER_ANSWERS_S, self._stopping)
        self._make_published()

    def ask_again(self) -> None:
        """Let `poll` ask a broker that was restarted: its log may have been damaged."""
        self._due_s, self._problem = time.monotonic(), ""

    def poll(self, broker: Process | None) -> bool:
        """Ask the broker once if that is due; return True if the id is another one.

        It does not wait for a broker that does not listen yet.
        """
        now_s = time.monotonic()
        if self._due_s is None or now_s < self._due_s:
            return False
        self._due_s = now_s + AGAIN_S
        if broker is None or not broker.listens(str(self._settings.kafka)):
            return False
        earlier = self.id
        try:
            self.id = make_topic(self._settings, 0.0, self._stopping)
        except SemLoopError as error:
            if error.what != self._problem:
                self._report(error.what)
            self._problem = error.what
            return False
        self._due_s = None
        self._make_published()
        return self.id != earlier

    def _make_published(self) -> None:
        """Create the topics to produce to; the stack also runs without them."""
        from semloop.kafka import published_topics

        try:
            published_topics.ensure(self._settings)
        except SemLoopError as error:
            self._report(f"Topics of `publish` were not created. {error.what}")
