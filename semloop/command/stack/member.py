"""One of the processes that together run a flow, and what it said at its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semloop.errors import PeerLost, SemLoopError, TakenOver

# The last words that are kept of a process; an error of ours has two lines.
SAID_BYTES_MAX = 16 * 1024
STANDARD_ERROR = 2


@dataclass(frozen=True)
class Command:
    """How a process is started."""

    arguments: Sequence[str]
    environ: Mapping[str, str]


@dataclass(frozen=True)
class End:
    """How a process ended: its exit code, negative for a signal, and what it said."""

    index: int
    code: int
    said: str = ""

    @property
    def words(self) -> str:
        """What is worth telling: not a panic, which is all that a lost peer leaves."""
        return self.said if self.code > 0 and self.code != PeerLost.exit_code else ""

    @property
    def name(self) -> str:
        """The end in words for a log line."""
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"exit code {self.code}"


class Member:
    """A running process. Its logs pass, all else that it says is kept.

    It must end when its standard input does: so its parent takes it along, however the
    parent dies.
    """

    def __init__(self, index: int, command: Command, *, live: bool = False) -> None:
        """Start it. `live`: pass on at once what is kept otherwise.

        Raises:
            OSError: the machine does not start another process.
        """
        self._index = index
        self._live = live
        self._said = b""
        self._process = subprocess.Popen(
            command.arguments,
            env=dict(command.environ),
            stdin=subprocess.PIPE,
            stdout=STANDARD_ERROR,
            stderr=subprocess.PIPE,
            # Ctrl-C is for the parent, which ends all.
            process_group=0,
        )
        assert self._process.stderr is not None
        self._errors = self._process.stderr

    def fileno(self) -> int:
        """What a selector waits for: words, or the end."""
        return self._errors.fileno()

    def listen(self) -> End | None:
        """Keep what it says, waiting for it; at its end, how it ended."""
        words = os.read(self.fileno(), SAID_BYTES_MAX)
        if not words:
            # Nobody else holds this pipe: the process is gone.
            return End(self._index, self._process.wait(), self._kept())
        if self._live:
            sys.stderr.buffer.write(words)
            sys.stderr.flush()
        else:
            self._said = (self._said + words)[-SAID_BYTES_MAX:]
        return None

    def kill(self) -> None:
        """End it, and wait for its end."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _kept(self) -> str:
        return self._said.decode("utf-8", "replace")


def gravest(ends: Sequence[End]) -> End:
    """The end that decides what happens next: the first one of the gravest kind.

    Taken over is final. A process that only lost its peers says nothing about why, and
    one that came to its end is none at all.
    """
    graveness = {TakenOver.exit_code: 3, PeerLost.exit_code: 1, 0: 0}
    return max(ends, key=lambda end: graveness.get(end.code, 2))


def not_started(index: int, error: OSError) -> End:
    """A process that the machine did not start."""
    what = SemLoopError(
        f"Process {index} of the flow cannot be started: {error.strerror}.",
        "Give this machine memory and processes, or ask for fewer of them.",
    )
    return End(index, what.exit_code, f"{what}\n")
