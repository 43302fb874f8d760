"""The fence of a partition: which writer owns it, and how often that one committed."""

from typing import NamedTuple

# Behind a partition's name: the fence that its owner stored last.
FENCE = "/fence"
_COMMITS_BITS = 32


class Fence(NamedTuple):
    """One int64 in the Delta log: `epoch * 2**32 + commits`.

    A commit to a partition by another writer changes the epoch; the next commit by the
    same writer changes the count.
    """

    epoch: int
    commits: int = 0

    def pack(self) -> int:
        """The number that the log stores."""
        return (self.epoch << _COMMITS_BITS) + self.commits

    @classmethod
    def unpack(cls, number: int | None) -> "Fence":
        """The fence that a number of the log stands for.

        None, where no writer has owned the partition yet, is epoch 0.
        """
        epoch, commits = divmod(number or 0, 1 << _COMMITS_BITS)
        return cls(epoch, commits)
