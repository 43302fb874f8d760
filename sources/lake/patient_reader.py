"""Reading the lake while its storage may be away for a while."""

import time

from schemas.batches import PolledEvents
from semloop.errors import StorageUnavailable
from semloop.settings import Settings
from sources.lake.reader import NOTHING, LakeReader

# Between polls when nothing new is there: a poll is a millisecond of work in a folder,
# and a request that is paid for in an object store.
PAUSE_S = 0.2
PAUSE_S3_S = 1.0


class PatientLakeReader:
    """A `LakeReader` that returns ticks while storage is away.

    Unit of parallelism: a worker, which reads what `TopicStreams.owned` deals to it.
    Guarantee after a crash: none of its own; reading starts behind the positions that
    the tables of the flow hold.
    """

    def __init__(self, reader: LakeReader, settings: Settings) -> None:
        """Storage may be away for `storage_retry_s`."""
        self._reader = reader
        self._retry_s = settings.commits.storage_retry_s
        self._pause_s = PAUSE_S3_S if settings.on_s3 else PAUSE_S
        self._away_since_s: float | None = None
        self._is_idle = False

    @property
    def caught_up(self) -> bool:
        """Whether all that the first snapshot had has been returned."""
        return self._reader.caught_up

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next poll."""
        return self._pause_s if self._is_idle else 0.0

    def poll(self) -> PolledEvents:
        """The reader's next poll, or a tick while storage is away.

        Raises:
            StorageUnavailable: storage has been away for longer than it may be.
            TopicChanged, LakeError: as `LakeReader.poll`.
        """
        try:
            polled = self._reader.poll()
        except StorageUnavailable:
            now_s = time.monotonic()
            if self._away_since_s is None:
                self._away_since_s = now_s
            if now_s - self._away_since_s > self._retry_s:
                raise
            polled = PolledEvents(NOTHING)
        else:
            self._away_since_s = None
        self._is_idle = not polled.events.num_rows
        return polled

    def close(self) -> None:
        """Release the space of rows that were not returned."""
        self._reader.close()
