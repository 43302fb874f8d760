"""A broker that dies, is away and comes back, under flows that read it."""

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
from tests.conftest import a_topic
from tests.flows.flow_runner import (
    FlowProcess,
    each_once,
    produce,
    running_flow,
    stored_origins,
)
from tests.kill_and_audit import Load
from tests.services import SERVICES, RealBroker, wait_for

AWAY, BACK = "broker does not answer", "broker answers again"
# A commit is made for its rows at once, and what changed is noticed soon.
FEW_ROWS = {"SEMLOOP_COMMIT_ROWS": "10", "SEMLOOP_FENCE_CHECK_S": "0.2"}


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBroker]:
    """A real broker of this module's own, which tests kill and start again."""
    assert SERVICES
    broker = RealBroker(tmp_path_factory.mktemp("mortal"), SERVICES)
    yield broker
    broker.kill()


@pytest.fixture
def settings(mortal: RealBroker, tmp_path: Path) -> Settings:
    return Settings(lake=str(tmp_path / "lake"), kafka=mortal.address, topic=a_topic())


@pytest.fixture
def topic(settings: Settings) -> Topic:
    return TopicAdmin(settings).ensure()


def take_over(settings: Settings, topic: Topic) -> None:
    """What a newer copy of the flow does first; needs no broker."""
    name = StreamId(FLOW, topic.cluster_id, topic.name, topic.topic_id)
    partitions = range(topic.partitions)
    context = FlowContext(settings, Storage.of(settings), Metrics())
    ArchiveTables(context, name, partitions).take_over()


@pytest.mark.real_broker
@pytest.mark.timeout(120)
def test_a_broker_killed_under_producer_and_flow_loses_and_doubles_nothing(
    settings: Settings, topic: Topic, mortal: RealBroker
) -> None:
    load = Load(settings, events=10_000, seconds=4)
    with running_flow(settings, SEMLOOP_FENCE_CHECK_S="0.2") as flow:
        load.start()
        flow.wait_until_stored(500)
        mortal.kill()
        flow.wait_until_logged(AWAY)
        mortal.start()
        load.join()
        flow.wait_until_stored(10_000)
        assert flow.is_alive()
        assert (len(flow.logged(AWAY)), len(flow.logged(BACK))) == (1, 1)
        assert flow.messages() == []
    assert stored_origins(settings) == each_once({topic.topic_id: load.origins})


class Outage:
    """Flows that were running, each with a topic and a lake, when the broker died."""

    def __init__(self, settings: Settings, broker: RealBroker) -> None:
        self._settings = settings
        self._broker = broker
        self.flows: dict[str, FlowProcess] = {}
        self.lakes: dict[str, Settings] = {}
        self.sent: dict[str, set[tuple[int, int]]] = {}
        self.topics: dict[str, Topic] = {}

    def add(self, name: str) -> Settings:
        """A topic with ten records, and the lake of the flow that will read it."""
        lake = self._settings.replace(
            lake=f"{self._settings.lake}-{name}", topic=a_topic()
        )
        self.lakes[name] = lake
        self.topics[name] = TopicAdmin(lake).ensure()
        self.sent[name] = produce(lake, 10, partition=0)
        return lake

    def start(self, name: str, **more: str) -> FlowProcess:
        self.flows[name] = FlowProcess(self.lakes[name], **more)
        return self.flows[name]

    def begin(self, full: Sequence[str]) -> None:
        """Kill the broker; some flows have more than a commit's rows to read then."""
        for flow in self.flows.values():
            flow.wait_until_stored(10)
        for name in full:
            # Stopped, it finds the records in its socket once the broker is dead.
            self.flows[name].signal(signal.SIGSTOP)
            self.sent[name] |= produce(self.lakes[name], 30, partition=0)
        self._broker.kill()
        for name in full:
            self.flows[name].signal(signal.SIGCONT)
        for flow in self.flows.values():
            flow.wait_until_logged(AWAY)

    def check(self, *names: str) -> None:
        """After the broker's return: the same processes have read all, once."""
        for name in names:
            flow = self.flows[name]
            flow.wait_until_stored(len(self.sent[name]))
            flow.wait_until_logged(BACK)
            assert flow.is_alive()
            assert (len(flow.logged(AWAY)), len(flow.logged(BACK))) == (1, 1)
            assert flow.messages() == []
            wanted = each_once({self.topics[name].topic_id: self.sent[name]})
            assert stored_origins(self.lakes[name]) == wanted

    def stop(self) -> None:
        for flow in self.flows.values():
            flow.stop()


@pytest.fixture
def outage(settings: Settings, mortal: RealBroker) -> Iterator[Outage]:
    outage = Outage(settings, mortal)
    yield outage
    outage.stop()
    if not listens(mortal.address):
        mortal.start()


@pytest.mark.real_broker
@pytest.mark.timeout(120)
def test_flows_without_a_broker_wait_can_be_stopped_and_notice_a_newer_copy(
    outage: Outage, mortal: RealBroker
) -> None:
    flows = outage.flows
    for name in ("full", "interrupted", "idle", "taken"):
        outage.add(name)
        outage.start(name, **FEW_ROWS)
    outage.begin(full=["full", "interrupted"])
    take_over(outage.lakes["taken"], outage.topics["taken"])
    code, messages = flows["taken"].wait_for_exit()
    assert (code, len(messages), "took over" in messages[0]) == (3, 2, True)
    flows["interrupted"].signal(signal.SIGINT)
    assert flows["interrupted"].wait_for_exit() == (130, [])
    mortal.start()
    outage.check("full", "idle")


@pytest.mark.real_broker
@pytest.mark.timeout(120)
def test_a_flow_started_without_a_broker_waits_for_it_or_says_so(
    outage: Outage, mortal: RealBroker
) -> None:
    outage.add("late")
    outage.add("early")
    outage.begin(full=[])
    late = outage.start("late")
    with running_flow(outage.lakes["early"], SEMLOOP_START_TIMEOUT_S="0.5") as early:
        code, messages = early.wait_for_exit()
        assert (code, len(messages)) == (1, 2), messages
        assert messages[0].startswith(f"No Kafka broker answers at {mortal.address}")
        assert len(early.logged(AWAY)) == 1
    late.wait_until_logged(AWAY)
    mortal.start()
    outage.check("late")


@pytest.mark.storm
@pytest.mark.real_broker
@pytest.mark.timeout(300)
def test_a_broker_away_for_a_minute_is_said_once(
    outage: Outage, mortal: RealBroker
) -> None:
    for name in ("full", "idle"):
        outage.add(name)
        outage.start(name, **FEW_ROWS)
    outage.begin(full=["full"])
    over_s = time.monotonic() + 60
    wait_for("a minute", lambda: time.monotonic() > over_s, seconds=90)
    mortal.start()
    outage.check("full", "idle")
