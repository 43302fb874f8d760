"""Streams: the topics whose records are in the lake, and the app ids of their offsets.

A stream is one topic of one cluster. A Delta log stores the last offset of each
partition as a `Transaction` under the app id built here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# Suffix of a partition's app id: wall clock, in milliseconds, when a flow last reached
# the end of the partition.
CAUGHT_UP = "/caught_up_ms"
# Suffixes of counters since the first record: events whose key is not their session,
# and events whose id another partition has, too.
MISROUTED = "/misrouted"
REPEATED = "/repeated"
# Suffix of the last offset of the rows that `maintain retain` has removed from a table.
EXPIRED = "/expired"
# Suffixes of how many recent records there were, and how many of them became dead
# letters, in thousandths: `sinks/dead_letter_limit.py`.
RECENT = "/recent"
RECENT_REFUSED = "/recent_refused"
# Suffix of the last offset that `dead_letters` stored before the commit of `events`: a
# copy whose `dead_letters` has a smaller one is older than its `events`.
LETTERS = "/letters"
# Suffix of the version up to which the rows of a table were produced to topics.
PUBLISHED = "/published"
# Last offset of a partition that a flow has not read yet.
NEVER_READ = -1


class Partition(NamedTuple):
    """A partition of one incarnation of a topic; its offsets only grow.

    A topic that is deleted and created again has another `topic_id`.
    """

    topic_id: str
    number: int


@dataclass(frozen=True)
class StreamId:
    """A stream and the flow that reads it: the key of the flow's offsets."""

    flow: str
    cluster_id: str
    topic: str
    topic_id: str

    def app_id(self, table: str, partition: int) -> str:
        """Return the app id of the `Transaction` with a partition's last offset."""
        return f"{self.flow}/{table}/{self.cluster_id}/{self.topic_id}/{partition}"


@dataclass(frozen=True)
class Streams:
    """The streams that a flow reads, by topic id."""

    by_topic_id: Mapping[str, StreamId]

    @classmethod
    def of(cls, *streams: StreamId) -> "Streams":
        """Collect streams, each with a different topic id."""
        return cls({stream.topic_id: stream for stream in streams})

    def app_id(self, table: str, partition: Partition, /) -> str:
        """Return the app id of the `Transaction` with a partition's last offset."""
        return self.by_topic_id[partition.topic_id].app_id(table, partition.number)
