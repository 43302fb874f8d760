"""Under which names the offsets of a log are kept in the Delta logs of the tables."""

from dataclasses import dataclass

# Behind a partition's name: wall clock, in milliseconds, when its end was last reached.
CAUGHT_UP = "/caught_up_ms"
# Topic id and partition: in each of them offsets grow for ever.
Origin = tuple[str, int]


@dataclass(frozen=True)
class StreamId:
    """The log of records that a flow reads, as its offsets are filed under."""

    flow: str
    cluster_id: str
    topic: str
    topic_id: str

    def app_id(self, table: str, partition: int) -> str:
        """Name of the Delta `Transaction` that keeps a partition's last offset."""
        return f"{self.flow}/{table}/{self.cluster_id}/{self.topic_id}/{partition}"
