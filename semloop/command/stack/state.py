"""What a running stack leaves in the lake: a lock, `stack.json` and its logs.

The stack runs as long as its supervisor holds the lock: no pid is ever guessed. A pid
of `stack.json` is believed only together with the start time of its process, so that
after a crash nobody else's process is taken for ours.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from semloop.command.stack.back_off import HEALTHY_S
from semloop.errors import LakeError, MissingExtra
from semloop.kafka.local_broker import STACK_FILE
from semloop.settings import LOCAL_FOLDER, Settings

if TYPE_CHECKING:
    import psutil

LOCK_FILE = "lock"
# So many deaths, each soon after the one before.
HOPELESS_DEATHS = 5
RUNNING, RESTARTING, TAKEN_OVER = "running", "restarting", "taken over"
# Start times are derived from the clock, which may be set meanwhile.
START_TIME_TOLERANCE_S = 2.0
LOCK_TRIES_S = 2.0
LOOK_S = 0.05


class Process(msgspec.Struct, frozen=True):
    """A process, told apart from a later one that got the same pid."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """The process that has this pid now."""
        return cls(pid, _psutil().Process(pid).create_time())

    def found(self) -> "psutil.Process | None":
        """A handle on the process, if it still runs."""
        library = _psutil()
        try:
            process = library.Process(self.pid)
            same = abs(process.create_time() - self.create_time)
            zombie = process.status() == library.STATUS_ZOMBIE
        except library.Error:
            return None
        ours = same < START_TIME_TOLERANCE_S and not zombie
        return cast("psutil.Process", process) if ours else None

    def stop(self, grace_s: float) -> None:
        """Ask it to end, and end it after `grace_s`."""
        library = _psutil()
        for ask in ("terminate", "kill"):
            if (process := self.found()) is None:
                return
            with suppress(library.NoSuchProcess):
                getattr(process, ask)()
            # Its parent may never fetch its exit code, so nobody waits for that.
            deadline = time.monotonic() + grace_s
            while self.found() and time.monotonic() < deadline:
                time.sleep(LOOK_S)


class FlowState(msgspec.Struct, frozen=True):
    """A flow as its supervisor sees it."""

    pid: int | None
    create_time: float | None
    state: str
    restarts: int
    exit_code: int | None
    deaths: int = 0
    """Deaths in a row, each soon after a start."""

    def is_shaky(self, now_s: float) -> bool:
        """Whether it runs, but so briefly after several deaths that it may die again.

        Args:
            now_s: wall-clock time.
        """
        young = self.create_time is not None and now_s - self.create_time < HEALTHY_S
        return self.state == RUNNING and self.deaths > 1 and young

    @property
    def is_hopeless(self) -> bool:
        """Whether it died so often that waiting for it is no use."""
        return self.state == TAKEN_OVER or self.deaths >= HOPELESS_DEATHS

    def process(self) -> Process | None:
        """The flow's process, if it has one."""
        if self.pid is None or self.create_time is None:
            return None
        return Process(self.pid, self.create_time)


class Stack(msgspec.Struct, frozen=True):
    """What `stack.json` says."""

    pid: int
    create_time: float
    started_at: str
    kafka: str
    topic: str
    embedded: bool = False
    broker_pid: int | None = None
    broker_create_time: float | None = None
    ready: bool = False
    flows: dict[str, FlowState] = {}

    def settings(self, settings: Settings) -> Settings:
        """The settings as the stack was started with, wherever one looks from."""
        return settings.replace(kafka=self.kafka, topic=self.topic)

    def children(self) -> list[Process]:
        """Flows, then the broker: the order in which they are stopped."""
        found = [flow.process() for flow in self.flows.values()]
        if self.broker_pid is not None and self.broker_create_time is not None:
            found.append(Process(self.broker_pid, self.broker_create_time))
        return [process for process in found if process is not None]


class LocalFolder:
    """The folder `_local` of a lake; made by `Storage.local_folder`, only read here."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The folder of the lake that the settings name, whether it exists or not.

        Raises:
            LakeError: the lake is in an object store.
        """
        if settings.on_s3:
            msg = f"{settings.lake} is not a local lake."
            todo = (
                "Set SEMLOOP_LAKE to a folder; on S3, start flows with `semloop run`."
            )
            raise LakeError(msg, todo)
        return cls(Path(settings.lake) / LOCAL_FOLDER)

    def log(self, name: str) -> Path:
        """Log of the supervisor, the broker or a flow."""
        return self.path / f"{name}.log"

    def is_locked(self) -> bool:
        """Whether a supervisor runs."""
        try:
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDONLY)
        except OSError:
            return False
        try:
            # Shared, so that two who look do not take each other for a supervisor.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the lock for as long as the block runs; False: another one holds it."""
        flags = os.O_RDWR | os.O_CREAT
        descriptor = os.open(self.path / LOCK_FILE, flags, 0o644)
        try:
            yield _flock(descriptor)
        finally:
            os.close(descriptor)

    def read(self) -> Stack | None:
        """What the last supervisor wrote, running or not."""
        try:
            return msgspec.json.decode(
                (self.path / STACK_FILE).read_bytes(), type=Stack
            )
        except (OSError, msgspec.MsgspecError):
            return None

    def running(self) -> Stack | None:
        """The running stack; None if there is none, or it has not said anything yet."""
        return self.read() if self.is_locked() else None

    def write(self, stack: Stack) -> None:
        """Replace `stack.json` as a whole."""
        draft = self.path / f"{STACK_FILE}.part"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(stack)) + b"\n")
        draft.replace(self.path / STACK_FILE)

    def forget(self) -> None:
        """Remove `stack.json`: nothing runs."""
        (self.path / STACK_FILE).unlink(missing_ok=True)

    def leftovers(self) -> list[Process]:
        """What runs of `stack.json`; without its supervisor, a crash left it over."""
        stack = self.read()
        found = stack.children() if stack else []
        return [process for process in found if process.found()]


def running(settings: Settings) -> Stack | None:
    """The running stack of a lake; a lake in an object store has none."""
    return None if settings.on_s3 else LocalFolder.of(settings).running()


def _flock(descriptor: int) -> bool:
    deadline = time.monotonic() + LOCK_TRIES_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # It may be somebody who only looks.
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        else:
            return True


def _psutil() -> Any:
    try:
        import psutil
    except ModuleNotFoundError:
        msg = "The local stack needs the package 'psutil'."
        raise MissingExtra(msg, "Run: pip install 'semloop[local]'") from None
    return psutil
