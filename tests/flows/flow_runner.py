"""The flow `archive` as a process under the control of a test, and what it stored."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from semloop.kafka.clients import address, producer_config
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests import processes
from tests.builders import an_event, raw
from tests.services import wait_for

# librdkafka's word for none in particular.
PARTITION_OF_THE_KEY = -1
Origins = Counter[tuple[str, int, int]]
ORIGINS = " UNION ALL ".join(
    f"SELECT topic_id, kafka_partition, kafka_offset FROM {table}"
    for table in ("events", "dead_letters")
)


class Flow:
    """`semloop run FLOW`; what it says goes to a file, which is never full.

    With the runner `bytewax`, `python -m bytewax.run` starts it instead.
    """

    def __init__(
        self,
        settings: Settings,
        *arguments: str,
        flow: str = "archive",
        runner: str = "semloop",
        **more: str,
    ) -> None:
        command = ["-P", "-m", "semloop", "run", flow]
        if runner == "bytewax":
            command = ["-m", "bytewax.run", f"flows.{flow}:flow"]
        self.file = Path(f"flow-{uuid.uuid4().hex[:8]}.log").absolute()
        with self.file.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *command, *arguments],
                env=processes.environment(settings, **more),
                stdout=file,
                stderr=file,
            )

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Log lines of this event, in order."""
        found = [json.loads(line) for line in self._lines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    def said(self) -> list[str]:
        """Lines for the user: all but the logs."""
        return [line for line in self._lines() if not line.startswith("{")]

    def wait_for(self, what: str, condition: Callable[[], object]) -> None:
        """Until it is so; the flow must be alive until then."""

        def seen() -> bool:
            if condition():
                return True
            assert self.process.poll() is None, self._lines()
            return False

        wait_for(what, seen)

    def wait_until_logged(self, event: str, times: int = 1) -> None:
        self.wait_for(f"log line {event!r}", lambda: len(self.logged(event)) >= times)

    def wait_until_stored(self, rows: int) -> None:
        """Until it has committed so many rows, dead letters included."""
        self.wait_for(f"{rows} rows", lambda: self.rows() >= rows)

    def rows(self) -> int:
        lines = self.logged("committed")
        return sum(line["events"] + line["dead_letters"] for line in lines)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def alive(self) -> bool:
        return self.process.poll() is None

    def ends(self, seconds: float = 60) -> tuple[int, list[str]]:
        """Its exit code and its lines for the user; it ends by itself, and soon."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(["did not end", *self._lines()]) from None
        return code, self.said()

    def stop(self) -> None:
        if self.alive():
            self.process.kill()
            self.process.wait()

    def _lines(self) -> list[str]:
        return self.file.read_text().splitlines()


@contextmanager
def a_flow(settings: Settings, *arguments: str, **more: str) -> Iterator[Flow]:
    """A flow that lives no longer than the test."""
    flow = Flow(settings, *arguments, **more)
    try:
        yield flow
    finally:
        flow.stop()


def archived(settings: Settings, *arguments: str, **more: str) -> None:
    """Run the flow until it has caught up, which must succeed."""
    with a_flow(settings, "--until-caught-up", *arguments, **more) as flow:
        assert flow.ends() == (0, [])


def refused(settings: Settings, *arguments: str, **more: str) -> list[str]:
    """Run the flow, which must end with exit 1; its two lines."""
    with a_flow(settings, "--until-caught-up", *arguments, **more) as flow:
        code, said = flow.ends()
    assert (code, len(said)) == (1, 2), said
    return said


def produce(
    settings: Settings, values: int | Sequence[object], partition: int | None = None
) -> set[tuple[int, int]]:
    """(partition, offset) of each record that the broker acknowledged.

    `values`: what to send, or how many events; None is a tombstone.
    """
    if isinstance(values, int):
        values = [an_event() for _ in range(values)]
    origins: set[tuple[int, int]] = set()

    def delivered(error: object, message: Any) -> None:
        assert error is None, error
        origins.add((message.partition(), message.offset()))

    producer = Producer(producer_config(settings))
    for value in values:
        producer.produce(
            settings.topic,
            None if value is None else raw(value),
            key="s-1",
            on_delivery=delivered,
            partition=PARTITION_OF_THE_KEY if partition is None else partition,
        )
    assert producer.flush(60) == 0
    return origins


def stored(settings: Settings) -> Origins:
    """How often each (topic id, partition, offset) is in the lake, dead letters too."""
    with Lake(settings.lake) as lake:
        return Counter(lake.sql(ORIGINS).fetchall())


def once(topics: Mapping[str, set[tuple[int, int]]]) -> Origins:
    """What `stored` finds when all these records are there once."""
    return Counter(
        (topic, *origin) for topic, found in topics.items() for origin in found
    )


def admin_of(settings: Settings) -> AdminClient:
    """To be kept in a variable: when it is gone, its answers never come."""
    return AdminClient({"bootstrap.servers": address(settings)})
