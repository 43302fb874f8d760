"""Streams: the topics whose records are in the lake, and the names of their offsets.

A stream is one topic of one cluster. Delta logs keep the last offset of each partition
as a `Transaction` under a name that is made here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Appended to a partition's name: wall clock, in milliseconds, when the end of the
# partition was last reached.
CAUGHT_UP = "/caught_up_ms"
# What a flow has read of a partition from which it has read nothing.
NEVER_READ = -1


class Partition(NamedTuple):
    """A partition of a topic that exists once: within it, offsets only grow.

    A topic that is deleted and created again has another `topic_id`.
    """

    topic_id: str
    number: int


@dataclass(frozen=True)
class StreamId:
    """The stream that a flow reads, and the flow, as its offsets are filed."""

    flow: str
    cluster_id: str
    topic: str
    topic_id: str

    def app_id(self, table: str, partition: int) -> str:
        """Name of the Delta `Transaction` that keeps a partition's last offset."""
        return f"{self.flow}/{table}/{self.cluster_id}/{self.topic_id}/{partition}"


@dataclass(frozen=True)
class Streams:
    """The streams that a flow reads, by topic id."""

    by_topic_id: Mapping[str, StreamId]

    @classmethod
    def of(cls, *streams: StreamId) -> "Streams":
        """Some streams, each with a topic id of its own."""
        return cls({stream.topic_id: stream for stream in streams})

    def app_id(self, table: str, partition: Partition, /) -> str:
        """Name of the Delta `Transaction` that keeps a partition's last offset."""
        return self.by_topic_id[partition.topic_id].app_id(table, partition.number)
