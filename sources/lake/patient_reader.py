"""Read the lake through temporary storage outages."""

import time

from schemas.batches import PolledEvents
from semloop.errors import StorageUnavailable
from semloop.retry import DamagePatience
from semloop.settings import Settings
from sources.lake.reader import NOTHING, LakeReader

# Pause between polls without new rows: a poll costs a millisecond in a folder, and a
# billed request in an object store.
PAUSE_S = 0.2
PAUSE_S3_S = 1.0


class PatientLakeReader:
    """A `LakeReader` that returns empty polls while storage is unavailable.

    Unit of parallelism: a worker, which reads the partitions of `TopicStreams.owned`.
    Guarantee after a crash: none of its own; reading starts after the positions stored
    in the tables of the flow.
    """

    def __init__(self, reader: LakeReader, settings: Settings) -> None:
        """Tolerate outages of at most `storage_retry_s`."""
        self._reader = reader
        self._retry_s = settings.commits.storage_retry_s
        self._pause_s = PAUSE_S3_S if settings.on_s3 else PAUSE_S
        self._down_since_s: float | None = None
        self._patience = DamagePatience()
        self._is_idle = False

    @property
    def caught_up(self) -> bool:
        """True if all rows of the first snapshot have been returned."""
        return self._reader.caught_up

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next poll."""
        return self._pause_s if self._is_idle else 0.0

    def poll(self) -> PolledEvents:
        """Return the reader's next poll, or an empty one while storage is unavailable.

        Raises:
            FileDamaged: a file is missing or damaged, and was so several times.
            StorageUnavailable: the outage lasts longer than `storage_retry_s`.
            TopicChanged, LakeError: as `LakeReader.poll`.
        """
        try:
            polled = self._reader.poll()
        except StorageUnavailable as error:
            now_s = time.monotonic()
            if self._down_since_s is None:
                self._down_since_s = now_s
            is_over = now_s - self._down_since_s > self._retry_s
            if not self._patience(error) or is_over:
                raise
            polled = PolledEvents(NOTHING)
        else:
            self._down_since_s = None
            self._patience(None)
        self._is_idle = not polled.events.num_rows
        return polled

    def close(self) -> None:
        """Free the disk space of rows that were not returned."""
        self._reader.close()
