"""Host programs; each is run as a module in a process of its own."""

import signal
from typing import NamedTuple


class Program(NamedTuple):
    """A module of this folder, its argument, and its exit status."""

    name: str
    argument: str = ""
    status: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.argument}".strip()


PROGRAMS = [
    Program("threads"),
    Program("forks"),
    Program("daemon"),
    Program("closes"),
    Program("pools", "fork"),
    Program("pools", "forkserver"),
    Program("pools", "spawn"),
    Program("ends", "sys.exit"),
    Program("ends", "os._exit"),
    Program("ends", "abort", -signal.SIGABRT),
    Program("ends", "segmentation fault", -signal.SIGSEGV),
    Program("ends", "SIGTERM", -signal.SIGTERM),
    Program("ends", "SIGKILL", -signal.SIGKILL),
    Program("ends", "handler"),
    Program("ends", "finaliser"),
    Program("ends", "thread at exit"),
    Program("ends", "busy daemon thread"),
    Program("ends", "atexit"),
    Program("ends", "exception", 1),
    Program("signals"),
    Program("collector"),
    Program("tasks"),
    Program("loggers", "emits"),
    Program("loggers", "raises"),
    Program("loggers", "exits"),
    Program("loggers", "waits"),
    Program("loggers", "forks"),
    Program("tracers"),
    Program("disks", "full"),
    Program("disks", "no blocks"),
    Program("disks", "removed"),
    Program("limits", "descriptors"),
    Program("limits", "threads"),
    Program("limits", "folder"),
    Program("flushes"),
    Program("interpreters"),
]
