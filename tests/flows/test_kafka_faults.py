"""Flows whose broker dies, is down for a while and is restarted."""

import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from schemas.metrics import Metrics
from semloop.delta.streams import StreamId
from semloop.kafka.clients import listens
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.archive_tables import FLOW, ArchiveTables
from sinks.flow_tables import FlowContext
from tests.flows.flow_runner import (
    FlowProcess,
    each_once,
    produce,
    running_flow,
    stored_origins,
)
from tests.support.kill_and_audit import Load
from tests.support.lakes import a_topic
from tests.support.services import SERVICES, RealBroker, wait_for

DOWN, UP = "broker does not answer", "broker answers again"
# A commit follows every ten rows, and fence checks are frequent.
FEW_ROWS = {"SEMLOOP_COMMIT_ROWS": "10", "SEMLOOP_FENCE_CHECK_S": "0.2"}


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBroker]:
    """A real broker that the tests of this module kill and restart."""
    assert SERVICES
    broker = RealBroker(tmp_path_factory.mktemp("own_broker"), SERVICES)
    yield broker
    broker.kill()


@pytest.fixture
def settings(own_broker: RealBroker, tmp_path: Path) -> Settings:
    return Settings(
        lake=str(tmp_path / "lake"), kafka=own_broker.address, topic=a_topic()
    )


def take_over(settings: Settings, topic: Topic) -> None:
    """Take over the tables as a newer copy of the flow does; needs no broker."""
    stream = StreamId(FLOW, topic.cluster_id, topic.name, topic.topic_id)
    partitions = range(topic.partitions)
    context = FlowContext(settings, Storage.of(settings), Metrics())
    ArchiveTables(context, stream, partitions).take_over()


@pytest.mark.real_broker
@pytest.mark.timeout(120)
def test_archive_stores_every_record_once_when_the_broker_is_killed_and_restarted(
    settings: Settings, topic: Topic, own_broker: RealBroker
) -> None:
    load = Load(settings, events=3_000, seconds=4)
    with running_flow(settings, SEMLOOP_FENCE_CHECK_S="0.2") as flow:
        load.start()
        flow.wait_until_stored(300)
        own_broker.kill()
        flow.wait_until_logged(DOWN)
        own_broker.start()
        load.join()
        flow.wait_until_stored(3_000)
        flow.wait_until_logged(UP)
        assert flow.is_alive()
        assert (len(flow.logged(DOWN)), len(flow.logged(UP))) == (1, 1)
        assert flow.messages() == []
    assert stored_origins(settings) == each_once({topic.topic_id: load.origins})


class Outage:
    """Flows during a broker outage, each with its own topic and lake."""

    def __init__(self, settings: Settings, broker: RealBroker) -> None:
        self._settings = settings
        self._broker = broker
        self.flows: dict[str, FlowProcess] = {}
        self.flow_settings: dict[str, Settings] = {}
        self.sent: dict[str, set[tuple[int, int]]] = {}
        self.topics: dict[str, Topic] = {}

    def add(self, name: str) -> Settings:
        """Create a topic with ten records; return settings with its own lake."""
        settings = self._settings.replace(
            lake=f"{self._settings.lake}-{name}", topic=a_topic()
        )
        self.flow_settings[name] = settings
        self.topics[name] = TopicAdmin(settings).ensure()
        self.sent[name] = produce(settings, 10, partition=0)
        return settings

    def start(self, name: str, **environment: str) -> FlowProcess:
        self.flows[name] = FlowProcess(self.flow_settings[name], **environment)
        return self.flows[name]

    def begin(self, full: Sequence[str]) -> None:
        """Kill the broker; flows in `full` then have more rows to read than one commit."""
        for flow in self.flows.values():
            flow.wait_until_stored(10)
        for name in full:
            # A stopped flow reads the records from its socket after the broker is dead.
            self.flows[name].signal(signal.SIGSTOP)
            self.sent[name] |= produce(self.flow_settings[name], 30, partition=0)
        self._broker.kill()
        for name in full:
            self.flows[name].signal(signal.SIGCONT)
        for flow in self.flows.values():
            flow.wait_until_logged(DOWN)

    def check(self, *names: str) -> None:
        """Check, after the broker restarted, that the processes stored all records once."""
        for name in names:
            flow = self.flows[name]
            flow.wait_until_stored(len(self.sent[name]))
            flow.wait_until_logged(UP)
            assert flow.is_alive()
            assert (len(flow.logged(DOWN)), len(flow.logged(UP))) == (1, 1)
            assert flow.messages() == []
            expected = each_once({self.topics[name].topic_id: self.sent[name]})
            assert stored_origins(self.flow_settings[name]) == expected

    def stop(self) -> None:
        for flow in self.flows.values():
            flow.stop()


@pytest.fixture
def outage(settings: Settings, own_broker: RealBroker) -> Iterator[Outage]:
    outage = Outage(settings, own_broker)
    yield outage
    outage.stop()
    if not listens(own_broker.address):
        own_broker.start()


@pytest.mark.real_broker
@pytest.mark.timeout(120)
def test_archive_without_a_broker_waits_and_can_be_started_interrupted_or_taken_over(
    outage: Outage, own_broker: RealBroker
) -> None:
    flows = outage.flows
    for name in ("late", "early"):
        outage.add(name)
    for name in ("full", "interrupted", "idle", "taken"):
        outage.add(name)
        outage.start(name, **FEW_ROWS)
    outage.begin(full=["full", "interrupted"])
    take_over(outage.flow_settings["taken"], outage.topics["taken"])
    code, messages = flows["taken"].wait_for_exit()
    assert (code, len(messages), "took over" in messages[0]) == (3, 2, True)
    flows["interrupted"].signal(signal.SIGINT)
    assert flows["interrupted"].wait_for_exit() == (130, [])
    late = outage.start("late")
    early = outage.start("early", SEMLOOP_START_TIMEOUT_S="0.5")
    code, messages = early.wait_for_exit()
    assert (code, len(messages)) == (1, 2), messages
    assert messages[0].startswith(f"No Kafka broker answers at {own_broker.address}")
    assert len(early.logged(DOWN)) == 1
    late.wait_until_logged(DOWN)
    own_broker.start()
    outage.check("full", "idle", "late")


@pytest.mark.storm
@pytest.mark.real_broker
@pytest.mark.timeout(300)
def test_archive_logs_a_broker_outage_of_a_minute_once(
    outage: Outage, own_broker: RealBroker
) -> None:
    for name in ("full", "idle"):
        outage.add(name)
        outage.start(name, **FEW_ROWS)
    outage.begin(full=["full"])
    deadline_s = time.monotonic() + 60
    wait_for("a minute", lambda: time.monotonic() > deadline_s, seconds=90)
    own_broker.start()
    outage.check("full", "idle")
