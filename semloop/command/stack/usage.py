"""CPU of the embedded broker over the last minutes, for `semloop health`."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from semloop.command.stack.process import Process

USAGE_FILE = "broker_usage.json"
# Five minutes: a large import, which uses much for a moment, does not count.
SAMPLE_S, SAMPLES_MAX = 15.0, 21


class Usage(msgspec.Struct, frozen=True):
    """Content of the file.

    samples: time of `time.monotonic`, and CPU seconds used until then.
    written_s: when the file was written, by `time.monotonic`: it counts since the boot.
    """

    pid: int
    mb_max: int
    samples: tuple[tuple[float, float], ...] = ()
    written_s: float = 0.0

    @property
    def seconds(self) -> float:
        """How much time the samples cover."""
        return self.samples[-1][0] - self.samples[0][0] if self.samples else 0.0

    @property
    def age_s(self) -> float:
        """How long ago it was written, in this boot."""
        return time.monotonic() - self.written_s

    @property
    def share(self) -> float:
        """Share of a core in that time."""
        used_s = self.samples[-1][1] - self.samples[0][1] if self.samples else 0.0
        return used_s / self.seconds if self.seconds else 0.0


class UsageLog:
    """Writes the samples of one supervisor."""

    def __init__(
        self, folder: Path, mb_max: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = folder / USAGE_FILE
        self._clock = clock
        self._usage = Usage(0, mb_max)
        self._due_s = 0.0

    def sample(self, broker: Process | None) -> None:
        """Add a sample if it is due; a new process of the broker starts again."""
        now_s = self._clock()
        used_s = broker.cpu_s() if broker and now_s >= self._due_s else None
        if broker is None or used_s is None:
            return
        self._due_s = now_s + SAMPLE_S
        earlier = self._usage.samples if self._usage.pid == broker.pid else ()
        added = (*earlier, (now_s, used_s))
        samples, written_s = added[-SAMPLES_MAX:], time.monotonic()
        self._usage = Usage(broker.pid, self._usage.mb_max, samples, written_s)
        draft = self._path.with_suffix(".part")
        with suppress(OSError):  # a full disk: other checks say so
            draft.write_bytes(msgspec.json.encode(self._usage))
            draft.replace(self._path)


def read_usage(folder: Path) -> Usage | None:
    """Return what a supervisor wrote last; None if there is nothing."""
    try:
        return msgspec.json.decode((folder / USAGE_FILE).read_bytes(), type=Usage)
    except (OSError, msgspec.MsgspecError):
        return None
