"""Runs flows as processes that a test controls, and reads what they stored."""

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

import pytest
from confluent_kafka.admin import AdminClient

from semloop.errors import SemLoopError
from semloop.kafka.clients import address
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.support import processes
from tests.support.builders import an_event, raw
from tests.support.in_process import run_flow
from tests.support.prompt_producer import prompt_producer
from tests.support.services import wait_for

# librdkafka's value for: choose the partition by the key.
PARTITION_BY_KEY = -1
Origins = Counter[tuple[str, int, int]]
ORIGINS = " UNION ALL ".join(
    f"SELECT topic_id, kafka_partition, kafka_offset FROM {table}"
    for table in ("events", "dead_letters")
)


class FlowProcess:
    """A process of `semloop run FLOW`; its output goes to a file, so it never blocks.

    With the runner `bytewax`, `python -m bytewax.run` starts it instead.
    """

    def __init__(
        self,
        settings: Settings,
        *arguments: str,
        flow: str = "archive",
        runner: str = "semloop",
        **environment: str,
    ) -> None:
        command = ["-P", "-m", "semloop", "run", flow]
        if runner == "bytewax":
            command = ["-m", "bytewax.run", f"flows.{flow}:flow"]
        self.file = Path(f"flow-{uuid.uuid4().hex[:8]}.log").absolute()
        with self.file.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *command, *arguments],
                env=processes.environment(settings, **environment),
                stdout=file,
                stderr=file,
            )

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event, in order."""
        entries = [json.loads(line) for line in self._lines() if line.startswith("{")]
        return [entry for entry in entries if entry["event"] == event]

    def messages(self) -> list[str]:
        """Return the lines for the user: all except the logs."""
        return [line for line in self._lines() if not line.startswith("{")]

    def wait_for(self, what: str, condition: Callable[[], object]) -> None:
        """Wait until a condition is true; the process must be alive until then."""

        def is_met() -> bool:
            if condition():
                return True
            assert self.process.poll() is None, self._lines()
            return False

        wait_for(what, is_met)

    def wait_until_logged(self, event: str, times: int = 1) -> None:
        self.wait_for(f"log line {event!r}", lambda: len(self.logged(event)) >= times)

    def wait_until_stored(self, rows: int) -> None:
        """Wait until it has committed this many rows, dead letters included."""
        self.wait_for(f"{rows} rows", lambda: self.committed_rows() >= rows)

    def committed_rows(self) -> int:
        lines = self.logged("committed")
        return sum(line["events"] + line["dead_letters"] for line in lines)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def wait_for_exit(self, seconds: float = 60) -> tuple[int, list[str]]:
        """Wait until it exits by itself; return its exit code and its messages."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(["did not exit", *self._lines()]) from None
        return code, self.messages()

    def stop(self) -> None:
        if self.is_alive():
            self.process.kill()
            self.process.wait()

    def _lines(self) -> list[str]:
        return self.file.read_text().splitlines()


@contextmanager
def running_flow(
    settings: Settings, *arguments: str, **environment: str
) -> Iterator[FlowProcess]:
    """Run a flow; kill it when the block ends."""
    flow = FlowProcess(settings, *arguments, **environment)
    try:
        yield flow
    finally:
        flow.stop()


def run_archive(settings: Settings, **options: bool) -> None:
    """Run `archive` in this process until it has caught up; see `run_flow`."""
    run_flow(settings, "archive", **options)


def run_failing_archive(
    settings: Settings, exit_code: int = 1, **options: bool
) -> list[str]:
    """Run `archive`, which must fail with this exit code; return its two lines."""
    with pytest.raises(SemLoopError) as failure:
        run_flow(settings, "archive", **options)
    lines = str(failure.value).splitlines()
    assert (failure.value.exit_code, len(lines)) == (exit_code, 2), lines
    return lines


def produce(
    settings: Settings,
    values: int | Sequence[object],
    partition: int | None = None,
    key: str = "s-1",
) -> set[tuple[int, int]]:
    """Produce records; return (partition, offset) of each that the broker acknowledged.

    `values`: the values, or the number of events; None is a tombstone.
    """
    if isinstance(values, int):
        values = [an_event() for _ in range(values)]
    origins: set[tuple[int, int]] = set()

    def delivered(error: object, message: Any) -> None:
        assert error is None, error
        origins.add((message.partition(), message.offset()))

    producer = prompt_producer(settings)
    for value in values:
        producer.produce(
            settings.topic,
            None if value is None else raw(value),
            key=key,
            on_delivery=delivered,
            partition=PARTITION_BY_KEY if partition is None else partition,
        )
    assert producer.flush(60) == 0
    return origins


def stored_origins(settings: Settings) -> Origins:
    """Count each (topic id, partition, offset) in `events` and `dead_letters`."""
    with Lake(settings.lake) as lake:
        return Counter(lake.sql(ORIGINS).fetchall())


def each_once(topics: Mapping[str, set[tuple[int, int]]]) -> Origins:
    """Return what `stored_origins` finds if each of these records is stored once."""
    return Counter(
        (topic, *origin) for topic, origins in topics.items() for origin in origins
    )


def kafka_admin(settings: Settings) -> AdminClient:
    """Return an admin client; keep it in a variable, or its futures never complete."""
    return AdminClient({"bootstrap.servers": address(settings)})
