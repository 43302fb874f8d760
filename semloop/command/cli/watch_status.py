"""What `semloop watch` prints: what it follows, and what it has done."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Self

from semloop.command.terminal.figures import format_count
from semloop.command.terminal.printing import note, say
from semloop.command.terminal.progress import spinner

if TYPE_CHECKING:
    from sources.following.follower import Follower
    from sources.following.outlet import Outlet
    from sources.following.places import Place

# Pauses between two updates, on a terminal and elsewhere.
SHOW_S, LINE_S = 0.5, 10.0


class WatchStatus:
    """A line that changes on a terminal; elsewhere a line when something changed."""

    def __init__(
        self, follower: "Follower", outlet: "Outlet", places: "Sequence[Place]"
    ) -> None:
        """Print nothing yet."""
        self._follower, self._outlet, self._places = follower, outlet, places
        self._stack = ExitStack()
        self._update: Callable[[str], None] = lambda _: None
        self._next_s = 0.0
        self._shown = ""
        self._is_away = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Print what is followed."""
        for place in self._places:
            if not place.folder.is_dir():
                continue  # it is followed once it exists
            name = f"{place.title}: {place.folder}" if place.name else place.title
            say(f"Following {name}")
        found = len(self._follower.files)
        files, new = format_count(found, "file"), self._follower.waiting
        say(f"{files}, {new:,} of them with lines to read. Ctrl-C ends.", flush=True)
        self._update = self._stack.enter_context(spinner(self._text()))

    def show(self) -> None:
        """Update the line if it is time to."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._broker()
        is_terminal = sys.stderr.isatty()
        self._next_s = now_s + SHOW_S
        text = self._text()
        if is_terminal:
            self._update(text)
        elif text != self._shown:
            self._next_s = now_s + LINE_S
            note(f"{datetime.now():%H:%M:%S} {text}")  # noqa: DTZ005 - for people
        self._shown = text

    def _broker(self) -> None:
        """Say when the broker is away, and when it is back."""
        away = self._outlet.emitter.available is False
        if away and not self._is_away:
            place = self._outlet.folder or "memory"
            note(f"Kafka is not available: new events wait in {place}; none is lost.")
        elif self._is_away and not away:
            note("Kafka is available again.")
        self._is_away = away

    def summarize(self) -> None:
        """Print the totals, and what is left to send."""
        self._stack.close()
        say(f"{self._text()}.")
        waiting, folder = self._outlet.waiting, self._outlet.folder
        if waiting and folder:
            events = format_count(waiting, "event")
            say(f"Kafka does not have {events} yet: they are in {folder}, from where")
            say("an agent, `semloop up` or `semloop spool send` sends them.")

    def _text(self) -> str:
        counts, follower = self._follower.counts, self._follower
        parts = [
            format_count(len(follower.files), "file"),
            format_count(counts.lines, "line"),
            format_count(counts.events, "event"),
            format_count(counts.dead_letters, "dead letter"),
        ]
        if counts.too_long:
            parts.append(f"{format_count(counts.too_long, 'line')} too long to send")
        files = follower.files.values()
        if unknown := sum(file.is_unknown for file in files):
            parts.append(f"{format_count(unknown, 'file')} of no known format")
        if rests := sum(file.rest > 0 and not file.is_unknown for file in files):
            parts.append(f"{format_count(rests, 'line')} not complete")
        if follower.waiting:
            parts.append(f"{format_count(follower.waiting, 'file')} to read")
        if waiting := self._outlet.waiting:
            parts.append(f"{format_count(waiting, 'event')} to send")
        return ", ".join(parts)
