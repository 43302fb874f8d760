"""The sink of the flow `index`: maintains the memories of the current generation."""

from schemas.batches import MaintenanceTask
from schemas.steps import ProgressCallback
from semloop.errors import LakeError
from semloop.flow_registry import INDEX
from semloop.lake.generations import EPISODES
from semloop.settings import DEFAULT_TOPIC
from sinks.activity_file import ActivityFile
from sinks.flow_tables import FlowContext
from sinks.vectors.maintenance import Report, drop_older_generations, maintain


class IndexMaintenance:
    """Drops older generations, then maintains the table of the current one.

    Unit of parallelism: none. Guarantee: it may be stopped at any time and run again.
    """

    def __init__(self, context: FlowContext, show: ProgressCallback) -> None:
        """Open no table yet.

        Args:
            context: settings and lake.
            show: called with (step, done, total) as the work proceeds.
        """
        self._context = context
        self._show = show
        self.report = Report()

    def add(self, item: MaintenanceTask) -> None:
        """Maintain the table of a generation.

        Raises:
            LakeError: the memories are missing, or not writable.
            StorageUnavailable: storage did not recover within `storage_retry_s`, or
                another maintenance run committed first.
        """
        storage, settings = self._context.storage, self._context.settings
        # The memories of all topics are in one table.
        activity = ActivityFile(storage, INDEX.name, 0, DEFAULT_TOPIC)
        activity.start_run(self._context.moment())
        drop_older_generations(storage, item.generation)
        seconds = settings.commits.storage_retry_s
        report = maintain(storage, item.generation, self._show, seconds)
        if report is not None:
            self.report = report
        elif storage.open(EPISODES).file_uris():
            msg = f"The memories of {settings.lake} are missing."
            raise LakeError(msg, "Rebuild them: `semloop maintain reindex`.")
        now = self._context.moment()
        activity.beat(now.wall_ms, now, ended=True)
