"""Notices that the host program has closed descriptors that are not its own."""

import os

from semloop.agent.spool.mapping import identity_of, is_of


class Sentinel:
    """A descriptor of a pipe, which has an identity that no other file has."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._descriptor = -1
        self._identity = (0, 0)

    @property
    def is_lost(self) -> bool:
        """True if it was set, and closed by someone else."""
        return self._descriptor >= 0 and not is_of(self._descriptor, self._identity)

    def set(self) -> None:
        """Open the descriptor; without a free one, nothing will be noticed."""
        self.close()
        try:
            reading, writing = os.pipe()
        except OSError:
            return
        os.close(writing)
        self._descriptor, self._identity = reading, identity_of(reading)

    def close(self) -> None:
        """Close the descriptor, unless its number is that of another file now."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0 and is_of(descriptor, self._identity):
            os.close(descriptor)
