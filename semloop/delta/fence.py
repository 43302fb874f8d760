"""The fence of a partition: which writer owns it, and how often it has committed."""

from typing import NamedTuple

# Suffix of a partition's app id; that `Transaction` is the fence its owner stored last.
FENCE = "/fence"
_COMMITS_BITS = 32


class Fence(NamedTuple):
    """One int64 in the Delta log: `epoch * 2**32 + commits`.

    A commit by another writer changes the epoch; the next commit by the same writer
    changes the count.
    """

    epoch: int
    commits: int = 0

    def pack(self) -> int:
        """Return the int64 that the log stores."""
        return (self.epoch << _COMMITS_BITS) + self.commits

    @classmethod
    def unpack(cls, number: int | None) -> "Fence":
        """Decode an int64 from the log.

        None (no writer has owned the partition yet) decodes to epoch 0.
        """
        epoch, commits = divmod(number or 0, 1 << _COMMITS_BITS)
        return cls(epoch, commits)
