"""Results of earlier checks that later checks need."""

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
class CheckContext:
    """Filled in by the checks; a `require_` method skips a check that lacks its input.

    Raises:
        Skipped: by every `require_` method whose value no earlier check has set.
    """

    settings: "Settings | None" = None
    cluster: "Cluster | None" = None
    topic: "Topic | None" = None
    topic_config: dict[str, str] = field(default_factory=dict)
    storage: "Storage | None" = None
    _missing: "Missing | None" = None

    def require_settings(self) -> "Settings":
        """Return the settings."""
        return _required(self.settings, "The settings are not valid.", "settings")

    def require_cluster(self) -> "Cluster":
        """Return the Kafka cluster, which is reachable and accepts our login."""
        self.require_settings()
        return _required(self.cluster, "No broker is available.", "broker")

    def require_topic(self) -> "Topic":
        """Return the topic, which exists."""
        self.require_cluster()
        return _required(self.topic, "The topic is not available.", "topic")

    def require_storage(self) -> "Storage":
        """Return the storage of a lake that exists and is readable."""
        self.require_settings()
        return _required(self.storage, "The lake is not available.", "lake")

    def streams(self) -> "list[StreamRow]":
        """Return the partitions of all topics that `archive` has recorded.

        Raises:
            LakeError: they cannot be read. StorageUnavailable: temporarily.
        """
        from semloop.delta.streams_table import read_streams, rows_of

        rows = read_streams(self.require_storage())
        return rows_of(ARCHIVE.name, ARCHIVE.main, rows)

    def positions(self) -> "dict[int, Position]":
        """Return the position of `archive` in each partition of the current topic."""
        from semloop.progress.positions import positions, stream_of

        topic, storage = self.require_topic(), self.require_storage()
        return positions(storage, stream_of(topic), topic.partitions)

    def missing(self) -> "Missing":
        """Count what is not in the lake yet, once, with the limits of `status`."""
        from semloop.progress.backlog import missing

        if self._missing is None:
            self._missing = missing(self.require_settings(), self.positions())
        return self._missing


def _required(value: T | None, reason: str, check: str) -> T:
    if value is None:
        raise Skipped(reason, f"Resolve the finding of the check {check!r} first.")
    return value
