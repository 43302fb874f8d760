"""One of the processes that run a flow together, and its output at its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semloop.errors import PeerLost, SemLoopError, TakenOver

# How much of a process's last output is kept; a SemLoop error has two lines.
OUTPUT_BYTES_MAX = 16 * 1024
STANDARD_ERROR = 2


@dataclass(frozen=True)
class Command:
    """Arguments and environment of a process."""

    arguments: Sequence[str]
    environ: Mapping[str, str]


@dataclass(frozen=True)
class End:
    """End of a process: exit code (negative for a signal) and last output."""

    index: int
    code: int
    output: str = ""

    @property
    def message(self) -> str:
        """The error to print; empty for a lost peer, which leaves only a panic."""
        return self.output if self.code > 0 and self.code != PeerLost.exit_code else ""

    @property
    def name(self) -> str:
        """The signal or exit code, for a log line."""
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"exit code {self.code}"


class Member:
    """A running process. Its stdout (logs) goes to our stderr; its stderr is kept.

    The process must exit when its standard input closes, so that it ends with its
    parent, however the parent dies.
    """

    def __init__(self, index: int, command: Command, *, live: bool = False) -> None:
        """Start the process.

        Args:
            index: number of the process in the flow.
            command: how to start it.
            live: print its stderr immediately instead of keeping it.

        Raises:
            OSError: the system cannot start the process.
        """
        self._index = index
        self._live = live
        self._output = b""
        self._process = subprocess.Popen(
            command.arguments,
            env=dict(command.environ),
            stdin=subprocess.PIPE,
            stdout=STANDARD_ERROR,
            stderr=subprocess.PIPE,
            # Ctrl-C must reach only the parent, which stops all members.
            process_group=0,
        )
        assert self._process.stderr is not None
        self._errors = self._process.stderr

    def fileno(self) -> int:
        """Return the descriptor that is readable on output and at the end."""
        return self._errors.fileno()

    def read(self) -> End | None:
        """Block until there is output and keep it; return the `End` at the end."""
        output = os.read(self.fileno(), OUTPUT_BYTES_MAX)
        if not output:
            # No other process has the write end of this pipe: the process ended.
            return End(self._index, self._process.wait(), self._text())
        if self._live:
            sys.stderr.buffer.write(output)
            sys.stderr.flush()
        else:
            self._output = (self._output + output)[-OUTPUT_BYTES_MAX:]
        return None

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _text(self) -> str:
        return self._output.decode("utf-8", "replace")


def most_severe(ends: Sequence[End]) -> End:
    """Return the end that decides what happens next: the first of the highest severity.

    A takeover is final. The end of a process that lost its peers does not say why they
    ended, and exit code 0 is not a failure.
    """
    severity = {TakenOver.exit_code: 3, PeerLost.exit_code: 1, 0: 0}
    return max(ends, key=lambda end: severity.get(end.code, 2))


def start_failure(index: int, error: OSError) -> End:
    """Return the end of a process that the system did not start."""
    failure = SemLoopError(
        f"Process {index} of the flow cannot be started: {error.strerror}.",
        "Raise the memory and process limits, or use a smaller --processes.",
    )
    return End(index, failure.exit_code, f"{failure}\n")
