"""The spool files of one sender: those that dead processes left, then its own."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from semloop.agent.local_stack import nearest_lake
from semloop.agent.spool import Spool, spool_paths
from semloop.settings import Settings


def spool_name(settings: Settings) -> str:
    """Return the name of the spool files of a broker and topic."""
    return _name_of(str(nearest_lake(settings)), settings)


def _name_of(lake: str, settings: Settings) -> str:
    target = settings.kafka
    if target is None:
        # The port of the local stack may change, its lake does not.
        target = hashlib.blake2b(lake.encode(), digest_size=6).hexdigest()
    return f"{target}-{settings.topic}"


class Spools:
    """Files with the events of one broker and topic; for one thread.

    Attributes:
        folder: where the files are.
        own: the file of this process, while it has events.
    """

    def __init__(self, settings: Settings) -> None:
        """Find the files of dead processes; open nothing yet."""
        self.folder = Path(os.path.expanduser(settings.agent.spool))  # never raises
        self.own: Spool | None = None
        self._bytes_max = settings.agent.spool_mb * 2**20
        self._name = spool_name(settings)
        # While there was no stack, processes named files after their folder's own lake.
        names = (self._name, _name_of(settings.lake, settings))
        self._orphan_paths = spool_paths(self.folder, names)
        self._orphan: Spool | None = None

    def __bool__(self) -> bool:
        """True if there may be events to send."""
        return bool(self._orphan_paths or self._orphan or self.own)

    def append(self, events: Sequence[bytes]) -> int:
        """Store events in the own file, until it is full; return how many were stored.

        Raises:
            OSError: the disk refuses; none of the events is stored.
        """
        if self.own is None:
            self.own = Spool.new(self.folder, self._name, self._bytes_max)
        return self.own.append(events)

    def oldest(self) -> Spool | None:
        """Return the file to send first; None if other processes have adopted all."""
        if self._orphan is None:
            self._orphan = Spool.adopt(self._orphan_paths, self._bytes_max)
        return self._orphan or self.own

    def remove(self, spool: Spool) -> None:
        """Remove a file whose events were all acknowledged."""
        spool.close()
        if spool is self.own:
            self.own = None
        else:
            self._orphan = None

    def close(self) -> None:
        """Close the files; those with events stay for the next process."""
        for spool in (self._orphan, self.own):
            if spool is not None:
                spool.close()
        self._orphan = self.own = None
        self._orphan_paths.clear()

    def release(self) -> None:
        """Close the files in a forked child: they and their locks are the parent's."""
        for spool in (self._orphan, self.own):
            if spool is not None:
                spool.release()
