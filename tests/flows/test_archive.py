"""Kafka to SQL, end to end: what `archive` stores, and of which topics."""

import json
import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from deltalake import write_deltalake

from semloop.kafka.clients import address
from semloop.kafka.topic import Topic
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.flows.flow_runner import produce, run_archive, run_failing_archive
from tests.operators.broken_records import BROKEN
from tests.support.builders import an_event, raw
from tests.support.commands import run_command
from tests.support.in_process import run_flow
from tests.support.prompt_producer import prompt_producer

PROFILE = {
    "name": "Ann Lee",
    "email": "ann.lee77@example.com",
    "dob": "1990-04-05",
    "reservations": ["NO6JO3"],
}
CHAT: dict[str, Any] = {
    "id": "chat-1",
    "agent": "airline",
    "created_at": "2026-11-02T09:00:00+00:00",
    "reward": 1.0,
    "messages": [
        {"role": "user", "content": "I am ann.lee77@example.com, change my flight."},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_user", "arguments": '{"id": "ann_1"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": json.dumps(PROFILE)},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "change", "arguments": "{}"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Error: fare class"},
        {"role": "assistant", "content": "Sorry, that fare cannot be changed."},
    ],
}
COUNTS = """
    SELECT count(DISTINCT session_id), count(*) FILTER (type = 'tool_call'),
           count(*) FILTER (type = 'tool_call' AND status = 'error'),
           count(*) FILTER (outcome = 'success'), count(*) FROM events
"""


def sql(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with Lake(settings.lake) as lake:
        return lake.sql(query).fetchall()


def all_stored_text(lake: Path) -> str:
    """Return the content of all files of a lake; Parquet files are decoded."""
    texts = []
    for file in lake.rglob("*"):
        if file.suffix == ".parquet":
            texts.append(str(duckdb.read_parquet(str(file)).fetchall()))
        elif file.is_file():
            texts.append(file.read_bytes().decode("utf-8", "replace"))
    return "\n".join(texts)


def test_chat_imported_twice_is_stored_once(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text(json.dumps(CHAT) + "\n")
    for _ in range(2):
        run_command(settings, "import", str(file), "--format", "chat")
        run_archive(settings)
        assert sql(settings, COUNTS) == [(1, 2, 1, 1, 5)]
        assert sql(settings, "SELECT count(*) FROM dead_letters") == [(0,)]


def test_private_values_are_in_no_file_and_equal_values_get_the_same_pseudonym(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "chats.jsonl"
    broken = '{"email": "bob@example.com", "dob": "1980-01-02", "x'
    file.write_text(json.dumps(CHAT) + "\n" + broken + "\n")
    run_command(settings, "import", str(file), "--format", "chat")
    run_archive(settings)
    stored = all_stored_text(Path(settings.lake))
    for private in (
        "ann.lee77@example.com",
        "bob@example.com",
        "1990-04-05",
        "1980-01-02",
    ):
        assert private not in stored
    assert "NO6JO3" in stored
    payloads = sql(
        settings, "SELECT payload FROM events WHERE payload LIKE '%<email:%'"
    )
    pseudonyms = {p for (text,) in payloads for p in re.findall(r"<email:\w+>", text)}
    assert (len(payloads), len(pseudonyms)) == (2, 1)


def test_file_of_broken_records_is_stored_as_dead_letters_with_exact_counts(
    settings: Settings, tmp_path: Path
) -> None:
    # Decoded with today's clock, so without the cases tied to the tests' fixed clock.
    # A record that is too large cannot be produced.
    expected = {
        name: (raw(value), reason)
        for name, (value, reason) in BROKEN.items()
        if name not in ("six minutes ahead", "only a blank") and reason != "too_large"
    }
    expected["the next century"] = (
        raw(an_event(timestamp="2126-01-01T00:00:00Z")), "timestamp_out_of_range",
    )  # fmt: skip
    good = [an_event() for _ in range(25)]
    lines = [value for value, _ in expected.values()] + [raw(event) for event in good]
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    for _ in range(2):
        run_command(settings, "import", str(file), "--format", "events")
        run_archive(settings)
        assert sql(settings, "SELECT count(*) FROM events") == [(len(good),)]
        found = dict(
            sql(settings, "SELECT reason, count(*) FROM dead_letters GROUP BY reason")
        )
        assert found == Counter(reason for _, reason in expected.values())


def test_tombstones_misrouted_and_repeated_records_are_not_dead_letters(
    settings: Settings, topic: Topic
) -> None:
    event = an_event()
    produce(settings, [event, None, b"", event, an_event()], key="other")
    run_archive(settings)
    assert sql(settings, "SELECT count(*) FROM events") == [(2,)]
    assert sql(settings, "SELECT count(*) FROM dead_letters") == [(0,)]


def test_absurd_kafka_timestamps_do_not_refuse_events(
    settings: Settings, topic: Topic
) -> None:
    now_ms = int(time.time() * 1_000)
    producer = prompt_producer(settings)
    # The first keeps the others from Kafka's retention, which goes by the newest.
    for kafka_ms in (now_ms, now_ms // 1_000, 1):
        event = an_event(timestamp=datetime.now(UTC).isoformat())
        producer.produce(settings.topic, raw(event), "s-1", timestamp=kafka_ms)
    assert producer.flush(60) == 0
    metrics = run_flow(settings)
    absurd = metrics.value("semloop_absurd_kafka_times_total", flow="archive")
    late = "count(*) FILTER (kafka_ts > ts - INTERVAL 1 HOUR)"
    assert sql(settings, f"SELECT count(*), {late} FROM events") == [(3, 3)]
    assert absurd == 2


def test_id_repeated_after_a_restart_is_dropped(
    settings: Settings, topic: Topic
) -> None:
    event = an_event()
    for _ in range(2):
        produce(settings, [event])
        run_archive(settings)
    assert sql(settings, "SELECT count(*) FROM events") == [(1,)]


def test_archive_catches_up_on_an_empty_topic(settings: Settings, topic: Topic) -> None:
    run_archive(settings)
    assert sql(settings, "SELECT count(*) FROM events") == [(0,)]


def test_archive_rejects_a_lake_filled_from_another_cluster_without_new_log(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, [an_event()])
    run_archive(settings)
    with Lake(settings.lake) as lake:
        rows = lake.sql("FROM tables.streams").to_arrow_table()
    # Make the lake look as if another cluster had filled it.
    renamed = rows.set_column(
        rows.column_names.index("cluster_id"),
        "cluster_id",
        pa.array(["elsewhere"] * rows.num_rows),
    )
    write_deltalake(f"{settings.lake}/streams", renamed, mode="overwrite")
    assert "--new-log" in run_failing_archive(settings)[1]
    run_archive(settings, new_log=True)
    run_archive(settings)  # --new-log is needed only once


@pytest.mark.real_broker
def test_archive_reports_a_retention_gap_and_accept_gap_skips_it(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 10)
    run_archive(settings)
    produce(settings, 10)
    admin = AdminClient({"bootstrap.servers": address(settings)})
    last_offsets = sql(
        settings, "SELECT kafka_partition, max(kafka_offset) FROM events GROUP BY 1"
    )
    partition, last = last_offsets[0]
    delete_before = TopicPartition(settings.topic, partition, last + 4)
    for future in admin.delete_records([delete_before]).values():
        future.result()
    what, todo = run_failing_archive(settings)
    assert "3 offsets" in what
    assert "--accept-gap" in todo
    run_archive(settings, accept_gap=True)
    assert sql(settings, COUNTS)[0][-1] == 17


def test_archive_commits_its_offsets_to_kafka_for_lag_monitors(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 5)
    run_archive(settings)
    monitor = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": "semloop-archive"}
    )
    partitions = [TopicPartition(settings.topic, p) for p in range(topic.partitions)]
    try:
        offsets = [p.offset for p in monitor.committed(partitions, timeout=60)]
    finally:
        monitor.close()
    assert sum(offset for offset in offsets if offset > 0) == 5
