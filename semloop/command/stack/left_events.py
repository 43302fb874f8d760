"""Sends what ended processes left in the spool, as `semloop spool send` does.

Agents do so too, but perhaps none runs: a script may have ended before the stack was
started, or while its broker was restarted.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from semloop.agent.spool.folder import left_by_all
from semloop.agent.spool.inspection import State, count_unsent, state_of
from semloop.agent.spool.names import own_spool_name, spool_folder
from semloop.agent.spool.orphans import SEARCH_S
from semloop.command.stack.scheduled_command import ScheduledCommand
from semloop.command.terminal.figures import format_count
from semloop.local.marks import mark
from semloop.settings import PREFIX, Settings

# Name of the process in its mark, and of its log.
SPOOL = "spool"
# Pause after a run that did not succeed: each loads libraries for half a second. It
# doubles, for files that can never be sent.
AGAIN_S, AGAIN_MAX_S = 60.0, 3_600.0


def count_left(settings: Settings) -> int:
    """Return the number of events that ended processes left for a stack of the lake.

    Not those for the stack of a folder above, which is another one's.
    """
    folder = spool_folder(settings)
    if folder is None:
        return 0
    found = left_by_all(folder, [own_spool_name(settings)])
    ended = [each for each in found if each.paths and state_of(each) is State.ENDED]
    return count_unsent(path for each in ended for path in each.paths)


class LeftEvents(ScheduledCommand):
    """Runs the command that sends, while a stack runs and there is something to send.

    The command has the settings with which the stack was started, so it sends what was
    left for its lake and topic, and nothing else.
    """

    def __init__(
        self,
        settings: Settings,
        command: Sequence[str],
        log: Path,
        lake_id: str,
    ) -> None:
        """Search nothing yet.

        Args:
            settings: of the user, without the address of the stack's own broker: files
                for that one are named after the lake.
            command: sends what is left.
            log: of the command; in the folder `_local`.
            lake_id: of the stack.
        """
        self._settings = settings
        environ = {
            **os.environ,
            **mark(lake_id, SPOOL),
            f"{PREFIX}LAKE": settings.lake,
            f"{PREFIX}TOPIC": settings.topic,
        }
        super().__init__(command, log, environ, every_s=0.0)
        self._search_s = 0.0
        self._failures = 0

    def poll(self) -> str:
        """Start the command when it is needed; return a line for the log, or ""."""
        if self.runs:
            report = super().poll()
            if self._process is None:
                self._failures = self._failures + 1 if self._problem else 0
                self._search_s = time.monotonic() + pause_s(self._failures)
            return report
        if time.monotonic() < self._search_s:
            return ""
        self._search_s = time.monotonic() + SEARCH_S
        if not (left := count_left(self._settings)):
            return ""
        if problem := self._start():
            self._failures += 1
            self._search_s = time.monotonic() + pause_s(self._failures)
            return problem
        events = format_count(left, "event")
        return f"sending {events} that ended processes left in the spool: {self._log}"


def pause_s(failures: int) -> float:
    """Return the pause until the next search, after runs in a row that failed."""
    if not failures:
        return SEARCH_S
    return float(min(AGAIN_S * 2 ** (failures - 1), AGAIN_MAX_S))
