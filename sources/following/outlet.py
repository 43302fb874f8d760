"""Passes records to the spool of the SDK, and tells what the broker has of them."""

from schemas.lines import Record
from semloop.agent.emitter import Emitter
from semloop.agent.spool.names import spool_folder
from semloop.settings import Settings

# What the broker does not have yet, while it accepts events.
BACKLOG_BYTES = 32 * 2**20


class Outlet:
    """Stores records in the spool while there is room, and never drops one."""

    def __init__(self, settings: Settings, emitter: Emitter) -> None:
        """Store nothing yet.

        Args:
            settings: of the spool.
            emitter: of this process, for the broker and the topic.
        """
        self.emitter = emitter
        self.folder = spool_folder(settings)
        # Half of it, since agents use the same folder.
        mb = settings.agent.queue_mb if self.folder is None else settings.agent.spool_mb
        self._bytes_max = mb * 2**20 // 2

    def send(self, record: Record, again: bool) -> bool:
        """Store a record; return False if there is no room now.

        Args:
            record: an event, or a line that becomes a dead letter.
            again: it may have been sent before.
        """
        emitter = self.emitter
        bytes_max = self._bytes_max
        if emitter.available:
            bytes_max = min(bytes_max, BACKLOG_BYTES)
        if emitter.writer.position - emitter.sent > bytes_max:
            return False
        if record.is_event:
            key = record.key or b""
        else:
            key, again = record.idempotency_key.encode(), True
        return emitter.offer(key, record.value, again=again) is None

    @property
    def stored(self) -> int:
        """Number of records that were stored."""
        return self.emitter.writer.emitted

    def is_safe(self, stored: int) -> bool:
        """Whether this number of records is in the broker, or in files for it."""
        emitter = self.emitter
        if emitter.finished >= stored:
            return True
        in_files = self.folder is not None and not emitter.writer.in_memory
        return emitter.available is False and in_files

    @property
    def waiting(self) -> int:
        """Number of records that the broker does not have yet."""
        return max(0, self.stored - self.emitter.finished)
