"""`health` watches the embedded broker: each code, and that it is gone afterwards."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from semloop.command.health import Check, Status
from semloop.command.health.broker import broker_checks, own_broker
from semloop.command.stack.process import Process
from semloop.command.stack.state import Stack
from semloop.command.stack.usage import (
    SAMPLE_S,
    SAMPLES_MAX,
    USAGE_FILE,
    Usage,
    UsageLog,
    read_usage,
)
from semloop.flow_registry import ARCHIVE
from semloop.kafka.clients import producer_config
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings
from tests.support.services import EmbeddedBroker, wait_for

pytestmark = pytest.mark.process

BUSY = "while True: pass"
IDLE = "import time; print('ready', flush=True); time.sleep(600)"
Start = Callable[[str], Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process in place of the broker."""
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> Process:
        command = [sys.executable, "-c", code]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        started.append(process)
        if "ready" in code:
            assert process.stdout is not None
            process.stdout.readline()
        return Process.of(process.pid)

    yield run
    for process in started:
        process.kill()
        process.communicate()


def check_of(code: str, folder: Path, process: Process | None) -> Check | None:
    found = [each for each in broker_checks(folder, process) if each.code == code]
    return found[0] if found else None


def cpu_s(process: Process) -> float:
    found = process.find()
    assert found is not None
    times = found.cpu_times()
    return float(times.user + times.system)


@pytest.mark.parametrize(
    ("share", "status"), [(0.3, Status.OK), (0.7, Status.WARN), (0.95, Status.FAIL)]
)
def test_a_broker_that_uses_a_core_is_reported_until_it_is_restarted(
    tmp_path: Path,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    status: Status,
) -> None:
    monkeypatch.setattr("semloop.command.health.broker.SECONDS_MIN", 0.2)
    monkeypatch.setattr("semloop.command.health.broker.FAIL_SECONDS_MIN", 0.2)
    monkeypatch.setattr("semloop.command.stack.usage.SAMPLE_S", 0.1)
    busy = start(BUSY)
    # A clock by which the process uses this share, however busy the machine is.
    log = UsageLog(tmp_path, mb_max=10, clock=lambda: cpu_s(busy) / share)
    log.sample(busy)
    assert check_of("kafka.cpu", tmp_path, busy) is None  # it has just started
    begun_s = cpu_s(busy)
    wait_for("CPU seconds", lambda: cpu_s(busy) > begun_s + 0.3)
    log.sample(busy)
    found = check_of("kafka.cpu", tmp_path, busy)
    assert found is not None
    assert (found.status, bool(found.todo)) == (status, status is not Status.OK)

    restarted = start(IDLE)
    times = iter((1.0, 10.0))
    log = UsageLog(tmp_path, mb_max=10, clock=lambda: next(times))
    log.sample(restarted)
    log.sample(restarted)
    found = check_of("kafka.cpu", tmp_path, restarted)
    assert found is not None
    assert found.status is Status.OK


@pytest.mark.parametrize(
    ("seconds", "status"), [(120.0, Status.WARN), (300.0, Status.FAIL)]
)
def test_a_broker_that_just_received_an_import_only_warns(
    tmp_path: Path, start: Start, seconds: float, status: Status
) -> None:
    process = start(IDLE)
    usage = Usage(process.pid, 10, ((0.0, 0.0), (seconds, seconds)), time.monotonic())
    (tmp_path / USAGE_FILE).write_bytes(msgspec.json.encode(usage))
    found = check_of("kafka.cpu", tmp_path, process)
    assert found is not None
    assert found.status is status


def test_a_broker_that_dies_while_it_is_looked_at_is_no_error(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(IDLE)
    log = UsageLog(tmp_path, mb_max=10, clock=iter((1.0, 100.0)).__next__)
    log.sample(process)

    def ended(self: psutil.Process) -> None:
        raise psutil.NoSuchProcess(self.pid)

    for name in ("cpu_times", "memory_info", "net_connections"):
        monkeypatch.setattr(psutil.Process, name, lambda self, *_: ended(self))
    log.sample(process)
    usage = read_usage(tmp_path)
    assert usage is not None
    assert len(usage.samples) == 1
    assert list(broker_checks(tmp_path, process)) == []


def stack_of(broker: EmbeddedBroker, topic_id: str | None, pid: int | None) -> Stack:
    return Stack(
        *(0, 0.0, "", broker.address, "events"),
        topic_id=topic_id,
        embedded=True,
        broker_pid=pid,
        broker_create_time=Process.of(pid).create_time if pid else None,
    )


@pytest.mark.process
def test_a_server_on_the_port_of_the_broker_is_not_taken_for_it(
    tmp_path: Path,
) -> None:
    broker = EmbeddedBroker(tmp_path)
    settings = Settings(lake=str(tmp_path), kafka=broker.address)
    topic = TopicAdmin(settings).ensure()
    assert own_broker(stack_of(broker, topic.topic_id, broker.pid), topic) is None
    dead = own_broker(stack_of(broker, topic.topic_id, None), topic)
    for other in ("another", None):
        found = own_broker(stack_of(broker, other, broker.pid), topic)
        assert found is not None
        assert (found.code, found.status) == ("kafka.topic", Status.FAIL)
    assert dead is not None
    assert (dead.code, dead.status) == ("kafka.broker", Status.FAIL)
    broker.kill()


def test_samples_are_taken_at_intervals_and_only_the_newest_are_kept(
    tmp_path: Path, start: Start
) -> None:
    times = iter(number * SAMPLE_S / 2 for number in range(2 * SAMPLES_MAX + 10))
    log = UsageLog(tmp_path, mb_max=10, clock=lambda: next(times))
    process = start(IDLE)
    for _ in range(2 * SAMPLES_MAX + 10):
        log.sample(process)
    usage = read_usage(tmp_path)
    assert usage is not None
    assert len(usage.samples) == SAMPLES_MAX
    assert usage.seconds == SAMPLE_S * (SAMPLES_MAX - 1)
    (tmp_path / "broker_usage.json").write_text("{")
    assert read_usage(tmp_path) is None
    assert check_of("kafka.cpu", tmp_path, process) is None  # it has just started
    assert check_of("kafka.memory", tmp_path, process) is not None


@pytest.mark.parametrize("is_old", [True, False])
def test_a_broker_whose_cpu_is_not_measured_any_more_is_reported(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    monkeypatch.setattr("semloop.command.health.broker.UNMEASURED_S", -1.0)
    process = start(IDLE)
    if is_old:
        UsageLog(tmp_path, mb_max=10).sample(process)
    found = check_of("kafka.cpu", tmp_path, process)
    assert found is not None
    assert (found.status, "not measured" in found.what) == (Status.WARN, True)


@pytest.mark.parametrize(("mb", "status"), [(300, Status.WARN), (600, Status.FAIL)])
def test_a_broker_that_uses_much_memory_is_reported_until_it_is_restarted(
    tmp_path: Path, start: Start, mb: int, status: Status
) -> None:
    log = UsageLog(tmp_path, mb_max=10)
    large = start(f"held = b'x' * ({mb} * 2**20); {IDLE}")
    log.sample(large)
    found = check_of("kafka.memory", tmp_path, large)
    assert found is not None
    assert (found.status, "semloop up" in found.todo) == (status, True)
    restarted = start(IDLE)
    found = check_of("kafka.memory", tmp_path, restarted)
    assert found is not None
    assert (found.status, found.todo) == (Status.OK, "")


def test_a_broker_without_room_is_reported_until_archive_has_committed(
    tmp_path: Path,
) -> None:
    broker = EmbeddedBroker(tmp_path, mb_max=1)
    process = Process.of(broker.pid)
    UsageLog(tmp_path, mb_max=1).sample(process)
    settings = Settings(lake=str(tmp_path / "lake"), kafka=broker.address)
    TopicAdmin(settings).ensure()
    refused: list[str] = []
    config = producer_config(settings) | {"message.timeout.ms": 2_000}
    producer = Producer(config | {"compression.type": "none", "batch.num.messages": 1})
    for _ in range(150):
        producer.produce(
            settings.topic,
            b"x" * 10_000,
            partition=0,
            on_delivery=lambda error, _: (
                refused.append(error.name()) if error else None
            ),
        )
    producer.flush(20)
    assert set(refused) == {"_MSG_TIMED_OUT"}
    found = check_of("kafka.full", tmp_path, process)
    assert found is not None
    assert found.status is Status.FAIL
    assert "semloop up" in found.todo
    assert f"in topic '{settings.topic}'" in found.what
    assert found.figures["mb_max"] == 1

    consumer = Consumer(
        {"bootstrap.servers": broker.address, "group.id": ARCHIVE.group}
    )
    # The answer to a message that timed out may have been lost.
    _, end = consumer.get_watermark_offsets(TopicPartition(settings.topic, 0), 10)
    committed = TopicPartition(settings.topic, 0, end)
    consumer.commit(offsets=[committed], asynchronous=False)
    consumer.close()

    def passes() -> bool:
        check = check_of("kafka.full", tmp_path, process)
        return check is not None and check.status is Status.OK

    wait_for("room", passes)
    broker.kill()
