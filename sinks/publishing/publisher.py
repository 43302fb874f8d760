"""What the publishers of all flows have in common: position, faults, the last item."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from semloop.delta.file_name import FileName
from semloop.delta.query import FileQueries
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import NEVER_READ, PUBLISHED, Partition
from semloop.errors import LakeError, StorageUnavailable
from semloop.published import topics_of
from sinks.delta.fenced_table import FencedTable
from sinks.flow_tables import FlowContext
from sinks.publishing.outbox import Outbox

# A flow that ends waits this long for the broker; the rest follows at the next start.
FINISH_S = 10.0


class Publisher(ABC):
    """Produces what one worker of a flow commits.

    Unit of parallelism: a worker. Guarantee: at least once. The position is stored with
    the next commit; a restart produces what was committed after it, once more or for
    the first time.
    """

    def __init__(self, context: FlowContext, flow: str, main: FencedTable) -> None:
        """Continue at the position in the table.

        Args:
            context: settings, lake, metrics and clock.
            flow: the flow, whose topics are in the settings.
            main: its main table, taken over.
        """
        self._context, self._main = context, main
        topics = topics_of(flow, context.settings.publish.topics)
        self._outbox = Outbox(context, flow, topics)
        self._outbox.position = self._stored_position()

    @property
    def numbers(self) -> Mapping[tuple[Partition, str], int]:
        """The position, for the next commit to the main table."""
        position = self._outbox.position
        return {(p, PUBLISHED): position for p in self._main.owned}

    def beat(self, *, last: bool) -> None:
        """Produce what is due; call it after each item. `last`: no item follows."""
        try:
            self._poll()
            if last:
                self._finish(FINISH_S)
        except (StorageUnavailable, LakeError) as error:
            # The flow's own commits say what is wrong with the lake.
            self._outbox.fail(error.what)

    @abstractmethod
    def _poll(self) -> None:
        """Produce what is due.

        Raises:
            LakeError, StorageUnavailable: the lake cannot be read.
        """

    @abstractmethod
    def _finish(self, seconds: float) -> None:
        """Produce all, and wait for the broker for a time; raises as `_poll`."""

    @property
    def _version(self) -> int:
        """The version after the last commit."""
        return self._main.handle.version()

    def _missed(
        self, query: Callable[[str], str], values: Sequence[object]
    ) -> pa.Table | None:
        """Query the rows that were committed after the position; None without any.

        Merged files may also have older rows.

        Args:
            query: SQL over `rows`, given the condition of the rows of this worker.
            values: its parameters, before those of the condition.
        """
        snapshot = Snapshot.of(self._main.name, self._main.handle)
        paths = self._files_beyond(snapshot)
        if not paths:
            return None
        origins = [value for partition in self._main.owned for value in partition]
        pairs = ", ".join(["(?, ?)"] * len(self._main.owned))
        condition = f"(topic_id, kafka_partition) IN ({pairs})"
        files = FileQueries(self._context.storage)
        try:
            uris = snapshot.uris(self._context.storage, paths)
            return files.arrow(
                self._main.name, uris, query(condition), [*values, *origins]
            )
        finally:
            files.close()

    def _files_beyond(self, snapshot: Snapshot) -> list[str]:
        """Return the files with rows that may have been committed after the position.

        For the rows of a partition, the numbers in the names of files grow with every
        commit, and none is larger than the version that the commit made.
        """
        return [
            path
            for path, file in snapshot.files.items()
            if _number(path) > self._outbox.position
            and any(file.may_contain(p, NEVER_READ) for p in self._main.owned)
        ]

    def _stored_position(self) -> int:
        """Return the stored position; the first time begins with what is new."""
        stored = (self._main.stored(p, PUBLISHED) for p in self._main.owned)
        known = [number for number in stored if number is not None]
        return min(known, default=self._version)


def _number(path: str) -> int:
    name = FileName.of(path)
    return name.first if name.complete_at is None else name.complete_at
