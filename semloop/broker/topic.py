"""A topic: its name, id, configuration and logs."""

import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semloop.broker.errors import Code, Refused
from semloop.broker.partition import PartitionLog

# Kafka's default.
BATCH_BYTES_MAX = 1_048_588
BYTES_CONFIG = "max.message.bytes"
# The oldest files of a partition beyond this size are deleted.
RETENTION_CONFIG = "retention.bytes"
# Records of any time are accepted, with the time that their producer gave them.
TIME_CONFIG = "message.timestamp."
LEGAL_NAME_CHARS = frozenset(f"{string.ascii_letters}{string.digits}._-")


@dataclass
class Topic:
    """A topic and its logs, by number of the partition."""

    name: str
    id: uuid.UUID
    config: dict[str, str]
    partitions: list[PartitionLog]

    @property
    def bytes_max(self) -> int:
        """Size of a batch, at most."""
        return int(self.config.get(BYTES_CONFIG, BATCH_BYTES_MAX))

    def keep_newest(self) -> bool:
        """Delete the oldest files beyond the limit, if it has one; True if any was."""
        limit = self.config.get(RETENTION_CONFIG)
        if limit is None:
            return False
        return any([log.keep_newest(int(limit)) for log in self.partitions])

    def prefix(self, partition: int) -> str:
        """Return how the names of a partition's files begin."""
        return f"{self.id.hex}-{partition}-"

    def as_state(self) -> dict[str, Any]:
        """Return what `state.json` holds of the topic."""
        offsets = [[log.start_offset, log.next_offset] for log in self.partitions]
        return {"id": str(self.id), "config": self.config, "offsets": offsets}


def check_topic(name: str, config: Mapping[str, str]) -> None:
    """Check the name and the configuration of a new topic.

    Raises:
        Refused: one of them is not valid.
    """
    is_legal = 0 < len(name) < 250 and LEGAL_NAME_CHARS.issuperset(name)
    if not is_legal or name in {".", ".."}:
        raise Refused(Code.INVALID_TOPIC, "Letters, digits, '.', '_' and '-' only.")
    known = (BYTES_CONFIG, RETENTION_CONFIG)
    for key in known:
        if not config.get(key, "1").isdecimal():
            raise Refused(Code.INVALID_CONFIG, f"{key} is not a number.")
    for key in config:
        if key not in {BYTES_CONFIG, RETENTION_CONFIG} and not key.startswith(
            TIME_CONFIG
        ):
            raise Refused(Code.INVALID_CONFIG, f"The broker has no {key[:100]!r}.")
