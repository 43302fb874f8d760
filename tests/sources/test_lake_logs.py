"""Assignment of partitions to workers, and topics that were replaced."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from deltalake import write_deltalake

from semloop.delta.streams import Partition, StreamId
from semloop.storage.location import Storage
from sinks.delta.streams_table import register
from sources.lake.streams import TopicStreams
from tests.support.builders import LOG, NOW

NEWER = replace(LOG, topic_id="a-newer-id")
ELSEWHERE = replace(LOG, topic_id="another", cluster_id="cluster-2")


def register_stream(
    storage: Storage, stream: StreamId, partitions: int, minutes: int = 0
) -> None:
    now = NOW + timedelta(minutes=minutes)
    register(
        storage, stream, ["dead_letters", "events"],
        range(partitions), now, new_log=True,
    )  # fmt: skip


def test_a_worker_reads_its_partitions_of_every_topic_id(storage: Storage) -> None:
    register_stream(storage, LOG, 3)
    register_stream(storage, NEWER, 5, minutes=1)
    register_stream(storage, replace(LOG, topic="other", topic_id="other"), 2)
    streams = TopicStreams.read(storage, LOG.topic)
    new, old = NEWER.topic_id, LOG.topic_id
    assert streams.owned(0, 2) == [(new, 0), (new, 2), (new, 4), (old, 0), (old, 2)]
    assert streams.owned(1, 2) == [(new, 1), (new, 3), (old, 1)]
    assert streams.owned(5, 6) == []
    assert streams.names[Partition(new, 4)] == [NEWER.app_id("events", 4)]


@pytest.mark.parametrize("minutes", [1, 0, -120])
def test_a_recreated_topic_replaces_the_older_one(
    storage: Storage, minutes: int
) -> None:
    """Even if `archive` meanwhile runs on a host whose clock is behind."""
    register_stream(storage, LOG, 1)
    assert TopicStreams.read(storage, LOG.topic).replaced == set()
    register_stream(storage, NEWER, 1, minutes=minutes)
    # A partition was added to the older topic before it was deleted.
    register_stream(storage, LOG, 2, minutes=minutes + 1)
    assert TopicStreams.read(storage, LOG.topic).replaced == {LOG.topic_id}


def test_a_topic_of_another_cluster_replaces_no_topic(storage: Storage) -> None:
    register_stream(storage, LOG, 1)
    register_stream(storage, ELSEWHERE, 1, minutes=1)
    assert TopicStreams.read(storage, LOG.topic).replaced == set()


def test_a_renamed_cluster_has_the_same_partitions(storage: Storage) -> None:
    renamed = replace(LOG, cluster_id="cluster-2")
    register_stream(storage, LOG, 1)
    register_stream(storage, renamed, 1, minutes=1)
    streams = TopicStreams.read(storage, LOG.topic)
    assert streams.owned(0, 1) == [(LOG.topic_id, 0)]
    assert sorted(streams.names[Partition(LOG.topic_id, 0)]) == sorted(
        stream.app_id("events", 0) for stream in (LOG, renamed)
    )
    assert streams.replaced == set()


def test_streams_registered_by_two_copies_are_deduplicated(storage: Storage) -> None:
    register_stream(storage, LOG, 1, minutes=5)
    before = TopicStreams.read(storage, LOG.topic)
    file = next(Path(storage.uri("streams")).glob("*.parquet"))
    handle = storage.open("streams")
    write_deltalake(
        handle, duckdb.read_parquet(str(file)).to_arrow_table(), mode="append"
    )
    assert TopicStreams.read(storage, LOG.topic) == before


def test_without_a_lake_there_are_no_streams(storage: Storage) -> None:
    streams = TopicStreams.read(storage, LOG.topic)
    assert streams.owned(0, 1) == []
    assert streams.replaced == set()
