"""A lake continues with a broker that is new: after an upgrade, or after damage."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from semloop.delta.streams import StreamId
from semloop.kafka.topic import TopicAdmin
from semloop.progress.backlog import missing
from semloop.progress.positions import Position
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.delta.streams_table import register
from tests.broker.conftest import Start
from tests.flows.flow_runner import each_once, produce, run_archive, stored_origins
from tests.support.services import EmbeddedBroker

pytestmark = pytest.mark.process

Records = dict[str, set[tuple[int, int]]]


def settings_of(tmp_path: Path, broker: EmbeddedBroker) -> Settings:
    return Settings(lake=str(tmp_path / "lake"), kafka=broker.address)


def produced(settings: Settings) -> Records:
    topic = TopicAdmin(settings).ensure()
    return {topic.topic_id: produce(settings, 3)}


def test_a_lake_of_the_earlier_embedded_broker_is_filled_further(
    tmp_path: Path,
    start: Start,
) -> None:
    broker = start()
    settings = settings_of(tmp_path, broker)
    earlier = StreamId("archive", "tansu_cluster", settings.topic, "0" * 32)
    tables = ["events", "dead_letters"]
    register(Storage.of(settings), earlier, tables, [0], datetime.now(UTC))
    records = produced(settings)
    run_archive(settings)
    assert stored_origins(settings) == each_once(records)


def test_a_lake_is_filled_further_after_the_state_of_its_broker_was_damaged(
    tmp_path: Path,
    start: Start,
) -> None:
    first = start()
    settings = settings_of(tmp_path, first)
    before = produced(settings)
    run_archive(settings)
    first.kill()
    (tmp_path / "broker" / "state.json").write_text("{")
    start(first.address)
    after = produced(settings)
    assert len(before | after) == 2
    run_archive(settings)
    assert stored_origins(settings) == each_once(before | after)


def test_the_gap_after_a_power_failure_is_no_backlog(
    tmp_path: Path, start: Start
) -> None:
    first = start()
    settings = settings_of(tmp_path, first)
    (before,) = produced(settings).values()
    run_archive(settings)
    first.kill()
    file = tmp_path / "broker" / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"boot_id": "another"}))
    start(first.address)
    positions = {number: Position() for number in range(4)}
    ends = positions | {p: Position(offset) for p, offset in sorted(before)}
    run_archive(settings)  # it notices that it has caught up
    assert missing(settings, ends).is_empty
    produced(settings)
    assert missing(settings, ends).records == 3
    estimated = missing(settings, positions, records_max=0)
    assert estimated.at_least
    assert estimated.records < 10
