"""The sink of the flow `index`: keeps the memories of a generation quick to search."""

from schemas.batches import MaintenanceTask
from schemas.steps import ProgressCallback
from semloop.errors import LakeError
from semloop.lake.generations import EPISODES
from sinks.flow_tables import FlowContext
from sinks.vectors.maintenance import Report, drop_older, maintain


class MemoryUpkeep:
    """Removes older generations, then maintains the table of the one that holds.

    Unit of parallelism: none. Guarantee: it may be ended at any moment and run again.
    """

    def __init__(self, context: FlowContext, show: ProgressCallback) -> None:
        """Nothing is opened yet.

        Args:
            context: settings and lake.
            show: told (step, done, total) of the work.
        """
        self._context = context
        self._show = show
        self.report = Report()

    def add(self, item: MaintenanceTask) -> None:
        """Do it for a generation.

        Raises:
            LakeError: the memories are gone, or may not be written.
            StorageUnavailable: not within `storage_retry_s`, or another one was
                quicker.
        """
        storage, settings = self._context.storage, self._context.settings
        drop_older(storage, item.generation)
        seconds = settings.commits.storage_retry_s
        report = maintain(storage, item.generation, self._show, seconds)
        if report is not None:
            self.report = report
        elif storage.open(EPISODES).file_uris():
            msg = f"The memories of {settings.lake} are gone."
            raise LakeError(msg, "Make them anew: `semloop maintain reindex`.")
