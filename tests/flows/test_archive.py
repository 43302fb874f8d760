"""Kafka to SQL, end to end: processes as their users start them, on the run's broker."""

import json
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from semloop.kafka.clients import address, producer_config
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests import processes
from tests.builders import an_event, raw
from tests.kill_and_audit import kill_and_audit
from tests.operators.test_decode import BROKEN
from tests.services import wait_for

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


def ask(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with Lake(settings.lake) as lake:
        return lake.sql(query).fetchall()


def produce(settings: Settings, values: list[object], key: str = "s-1") -> None:
    producer = Producer(producer_config(settings))
    for value in values:
        producer.produce(
            settings.topic, key=key, value=None if value is None else raw(value)
        )
    assert producer.flush(30) == 0


def archive(settings: Settings) -> None:
    processes.check(settings, "run", "archive", "--until-caught-up")


def everything_stored(lake: Path) -> str:
    """All content of all files under a lake, Parquet unpacked."""
    texts = []
    for file in lake.rglob("*"):
        if file.suffix == ".parquet":
            texts.append(str(duckdb.read_parquet(str(file)).fetchall()))
        elif file.is_file():
            texts.append(file.read_bytes().decode("utf-8", "replace"))
    return "\n".join(texts)


def test_a_chat_becomes_rows_once_however_often_it_is_imported(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text(json.dumps(CHAT) + "\n")
    for _ in range(2):
        processes.check(settings, "import", str(file), "--format", "chat")
        archive(settings)
        assert ask(settings, COUNTS) == [(1, 2, 1, 1, 5)]
        assert ask(settings, "SELECT count(*) FROM dead_letters") == [(0,)]


def test_private_content_reaches_no_file_and_joins_still_work(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "chats.jsonl"
    broken = '{"email": "bob@example.com", "dob": "1980-01-02", "x'
    file.write_text(json.dumps(CHAT) + "\n" + broken + "\n")
    processes.check(settings, "import", str(file), "--format", "chat")
    archive(settings)
    stored = everything_stored(Path(settings.lake))
    for private in (
        "ann.lee77@example.com",
        "bob@example.com",
        "1990-04-05",
        "1980-01-02",
    ):
        assert private not in stored
    assert "NO6JO3" in stored
    said = ask(settings, "SELECT payload FROM events WHERE payload LIKE '%<email:%'")
    pseudonyms = {name for (text,) in said for name in re.findall(r"<email:\w+>", text)}
    assert (len(said), len(pseudonyms)) == (2, 1)


def test_a_file_of_broken_records_is_never_fatal_and_the_sums_are_exact(
    settings: Settings, tmp_path: Path
) -> None:
    # Judged by today's clock here, so without the forms that name a moment of the tests.
    wanted = {
        name: (raw(value), reason)
        for name, (value, reason) in BROKEN.items()
        if name not in ("six minutes ahead", "only a blank")
    }
    wanted["the next century"] = (
        raw(an_event(timestamp="2126-01-01T00:00:00Z")), "timestamp_out_of_range",
    )  # fmt: skip
    good = [an_event() for _ in range(25)]
    lines = [value for value, _ in wanted.values()] + [raw(event) for event in good]
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    for _ in range(2):
        processes.check(settings, "import", str(file), "--format", "events")
        archive(settings)
        assert ask(settings, "SELECT count(*) FROM events") == [(len(good),)]
        found = dict(
            ask(settings, "SELECT reason, count(*) FROM dead_letters GROUP BY reason")
        )
        assert found == Counter(reason for _, reason in wanted.values())


def test_tombstones_misrouted_and_repeated_records_are_no_dead_letters(
    settings: Settings, topic: Topic
) -> None:
    event = an_event()
    produce(settings, [event, None, b"", event, an_event()], key="other")
    archive(settings)
    assert ask(settings, "SELECT count(*) FROM events") == [(2,)]
    assert ask(settings, "SELECT count(*) FROM dead_letters") == [(0,)]


def test_an_id_is_dropped_after_a_restart_too(settings: Settings, topic: Topic) -> None:
    event = an_event()
    for _ in range(2):
        produce(settings, [event])
        archive(settings)
    assert ask(settings, "SELECT count(*) FROM events") == [(1,)]


def test_an_empty_topic_is_caught_up_at_once(settings: Settings, topic: Topic) -> None:
    archive(settings)
    assert ask(settings, "SELECT count(*) FROM events") == [(0,)]


def test_a_second_copy_takes_over_and_the_older_one_stops(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, [an_event() for _ in range(50)])
    older = processes.start(settings, "run", "archive")
    newer = None
    try:
        lake = Path(settings.lake)
        wait_for("first commit", lambda: list(lake.glob("events/date=*/*")))
        newer = processes.start(settings, "run", "archive")
        _, said = older.communicate(timeout=60)
        assert older.returncode == 3
        lines = [line for line in said.splitlines() if not line.startswith("{")]
        assert len(lines) == 2
        assert "took over" in lines[0]
        produce(settings, [an_event() for _ in range(50)])
        wait_for("the newer copy", lambda: ask(settings, COUNTS)[0][-1] == 100)
        assert newer.poll() is None
    finally:
        for process in (older, newer):
            if process is not None and process.poll() is None:
                process.kill()
                process.communicate()


def test_a_missing_topic_is_said_in_two_lines(settings: Settings) -> None:
    # As a broker that is away is waited for, this would hang if a topic was too.
    result = processes.run(settings, "run", "archive", SEMLOOP_START_TIMEOUT_S="1000")
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert lines[0].startswith(f"There is no topic '{settings.topic}'")
    assert len(lines) == 2


def test_a_topic_of_another_cluster_is_refused_without_a_flag(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, [an_event()])
    archive(settings)
    with Lake(settings.lake) as lake:
        rows = lake.sql("FROM tables.streams").to_arrow_table()
    # As if another cluster had filled this lake: its rows name another cluster.
    import pyarrow as pa
    from deltalake import write_deltalake

    renamed = rows.set_column(
        rows.column_names.index("cluster_id"),
        "cluster_id",
        pa.array(["elsewhere"] * rows.num_rows),
    )
    write_deltalake(f"{settings.lake}/streams", renamed, mode="overwrite")
    result = processes.run(settings, "run", "archive", "--until-caught-up")
    assert (result.returncode, "--new-log" in result.stderr) == (1, True)
    processes.check(settings, "run", "archive", "--until-caught-up", "--new-log")
    archive(settings)  # accepted once is enough


@pytest.mark.real_broker
def test_records_gone_by_retention_are_said_and_can_be_accepted(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, [an_event() for _ in range(10)])
    archive(settings)
    produce(settings, [an_event() for _ in range(10)])
    admin = AdminClient({"bootstrap.servers": address(settings)})
    ends = ask(
        settings, "SELECT kafka_partition, max(kafka_offset) FROM events GROUP BY 1"
    )
    partition, last = ends[0]
    gone = TopicPartition(settings.topic, partition, last + 4)
    for done in admin.delete_records([gone]).values():
        done.result()
    result = processes.run(settings, "run", "archive", "--until-caught-up")
    assert result.returncode == 1
    assert "3 offsets" in result.stderr
    assert "--accept-gap" in result.stderr
    processes.check(settings, "run", "archive", "--until-caught-up", "--accept-gap")
    assert ask(settings, COUNTS)[0][-1] == 17


def test_kills_at_random_moments_lose_and_double_nothing(settings: Settings) -> None:
    TopicAdmin(settings).ensure()
    audit = kill_and_audit(settings, events=20_000, kills=5, seed=1, longest_s=2.2)
    assert audit.clean, audit
    assert audit.exits == {-signal.SIGKILL: 5}


@pytest.mark.storm
@pytest.mark.timeout(1800)
def test_a_storm_of_kills_loses_and_doubles_nothing(settings: Settings) -> None:
    TopicAdmin(settings).ensure()
    audit = kill_and_audit(settings, events=200_000, kills=25, seed=2)
    print(audit)
    assert audit.clean, audit
    assert audit.kills >= 20


def test_interrupting_a_flow_is_quiet(settings: Settings, topic: Topic) -> None:
    process = processes.start(settings, "run", "archive")
    wait_for("start", lambda: Path(settings.lake, "events").exists())
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 130
    assert "Traceback" not in said


def test_lag_monitors_see_how_far_the_flow_is(settings: Settings, topic: Topic) -> None:
    produce(settings, [an_event() for _ in range(5)])
    archive(settings)
    monitor = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": "semloop-archive"}
    )
    places = [TopicPartition(settings.topic, p) for p in range(topic.partitions)]
    try:
        found = [place.offset for place in monitor.committed(places, timeout=30)]
    finally:
        monitor.close()
    assert sum(offset for offset in found if offset > 0) == 5
