"""What the sending thread finds and logs once: dropped events, a disk that refuses."""

from collections.abc import Mapping
from pathlib import Path

from semloop.agent.warn import warn


class Findings:
    """What was logged of one process; for one thread."""

    def __init__(self, folder: Path | None) -> None:
        """Log nothing yet; `folder`: that of the spool."""
        self._folder = folder
        self._has_dropped = False
        self._obstacle: str | None = None
        self._obstacles: set[str] = set()

    def report(self, drops: Mapping[str, int], obstacle: str | None) -> None:
        """Log what is new.

        Args:
            drops: numbers of dropped events by reason.
            obstacle: why events are only in memory, None if they are not.
        """
        if drops and not self._has_dropped:
            self._has_dropped = True
            warn("Events are dropped: %s. This is logged once.", next(iter(drops)))
        if obstacle is None and self._obstacle is not None:
            self._obstacle = None
            warn("Events are stored in %s again.", self._folder)
        elif obstacle is not None and obstacle not in self._obstacles:
            self._obstacle = obstacle
            self._obstacles.add(obstacle)
            warn(
                "Events are only in memory: %s. They are lost if the process is killed"
                " before the broker has them. This is logged once.", obstacle,
            )  # fmt: skip
