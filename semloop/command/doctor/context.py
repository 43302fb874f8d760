"""What earlier checks found out, for those that come after them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from semloop.command.doctor import Skipped
from semloop.flow_registry import ARCHIVE

if TYPE_CHECKING:
    from semloop.command.doctor.cluster import Cluster
    from semloop.delta.streams_table import StreamRow
    from semloop.kafka.topic import Topic
    from semloop.progress.backlog import Missing
    from semloop.progress.positions import Position
    from semloop.settings import Settings
    from semloop.storage.location import Storage

T = TypeVar("T")


@dataclass
class Known:
    """Filled by the checks; a `need_` skips the check that asks for what is missing."""

    settings: "Settings | None" = None
    cluster: "Cluster | None" = None
    topic: "Topic | None" = None
    topic_config: dict[str, str] = field(default_factory=dict)
    storage: "Storage | None" = None
    _missing: "Missing | None" = None

    def need_settings(self) -> "Settings":
        """The settings."""
        return _found(self.settings, "The settings cannot be used.", "settings")

    def need_cluster(self) -> "Cluster":
        """The Kafka cluster, which answers and accepts us."""
        self.need_settings()
        return _found(self.cluster, "No broker can be asked.", "the broker")

    def need_topic(self) -> "Topic":
        """The topic, which exists."""
        self.need_cluster()
        return _found(self.topic, "The topic cannot be looked at.", "the topic")

    def need_storage(self) -> "Storage":
        """A lake that exists and can be read."""
        self.need_settings()
        return _found(self.storage, "There is no lake to look at.", "the lake")

    def streams(self) -> "list[StreamRow]":
        """The partitions that `archive` has met, of all topics.

        Raises:
            LakeError: they cannot be read. StorageUnavailable: not now.
        """
        from semloop.delta.streams_table import read_streams

        return [
            row
            for row in read_streams(self.need_storage())
            if (row.stream.flow, row.table) == (ARCHIVE.name, ARCHIVE.main)
        ]

    def positions(self) -> "dict[int, Position]":
        """Where `archive` is in each partition of the topic as it is now."""
        from semloop.progress.positions import positions, stream_of

        topic, storage = self.need_topic(), self.need_storage()
        return positions(storage, stream_of(topic), topic.partitions)

    def missing(self) -> "Missing":
        """What is not in the lake yet; counted once, with the bounds of `status`."""
        from semloop.progress.backlog import missing

        if self._missing is None:
            self._missing = missing(self.need_settings(), self.positions())
        return self._missing


def _found(thing: T | None, reason: str, subject: str) -> T:
    if thing is None:
        raise Skipped(reason, f"First do what is said about {subject} above.")
    return thing
