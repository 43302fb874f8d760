"""The time since the machine started, suspended time included; it cannot be set.

Ages are differences of it where both moments are of one machine. The wall clock of a
laptop is set, and those of two machines differ.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import msgspec

# Clocks of two machines may differ by less.
AHEAD_MS = 60_000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# In a container with a clock of its own, the clock counts from another moment.
TIME_NAMESPACE = "/proc/self/ns/time"
STAT = "/proc/{}/stat"
# `starttime` of proc(5), counted from the state that follows the name of the program.
STARTED_FIELD = 19


class BootTime(msgspec.Struct, frozen=True):
    """A moment: milliseconds since a boot, and the id of that boot."""

    boot: str
    ms: int


@dataclass(frozen=True)
class Moment:
    """A moment by the wall clock, and by the boot clock where the system has one."""

    wall_ms: int
    boot: BootTime | None = None

    @classmethod
    def now(cls) -> Self:
        """Return the present moment."""
        return cls(time.time_ns() // 1_000_000, boot_time())

    def age_ms(self, now: "Moment") -> int | None:
        """Return the milliseconds from here to now; None if this is in the future.

        Only moments of two machines, or of two boots, are compared by the wall clock.
        """
        if self.boot and now.boot and self.boot.boot == now.boot.boot:
            return max(0, now.boot.ms - self.boot.ms)
        ms = now.wall_ms - self.wall_ms
        return max(0, ms) if ms >= -AHEAD_MS else None


def boot_time() -> BootTime | None:
    """Return the present moment; None where the system has no id of a boot."""
    boot = _boot()
    return BootTime(boot, int(_since_boot_s() * 1_000)) if boot else None


def process_age_s(pid: int) -> float | None:
    """Return for how long a process has run; None where the system does not say."""
    try:
        fields = Path(STAT.format(pid)).read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    started_s = int(fields[STARTED_FIELD]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, _since_boot_s() - started_s)


def _since_boot_s() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@cache
def _boot() -> str:
    try:
        boot = BOOT_ID.read_text().strip()
    except OSError:
        return ""
    with suppress(OSError):
        boot += f" {os.readlink(TIME_NAMESPACE)}"
    return boot
