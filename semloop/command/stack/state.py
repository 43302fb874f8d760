"""Files of a running stack in the lake: a lock, `stack.json` and its logs.

The stack is running while its supervisor has the lock. A pid in `stack.json` is trusted
only with the start time of its process, because after a crash another process may have
got the same pid.
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
from semloop.extras import install_todo
from semloop.kafka.local_broker import STACK_FILE
from semloop.settings import LOCAL_FOLDER, Settings

if TYPE_CHECKING:
    import psutil

LOCK_FILE = "lock"
# Deaths in quick succession after which a flow counts as failed.
FAILED_DEATHS = 5
RUNNING, RESTARTING, STOPPED = "running", "restarting", "stopped"
# psutil derives start times from the wall clock, which may have been set since.
START_TIME_TOLERANCE_S = 2.0
LOCK_TRIES_S = 2.0
POLL_S = 0.05


class Process(msgspec.Struct, frozen=True):
    """A process, distinguished by its start time from a later one with the same pid."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return the process that has this pid now."""
        return cls(pid, _psutil().Process(pid).create_time())

    def find(self) -> "psutil.Process | None":
        """Return a handle of the process; None if it no longer runs."""
        library = _psutil()
        try:
            process = library.Process(self.pid)
            difference_s = abs(process.create_time() - self.create_time)
            zombie = process.status() == library.STATUS_ZOMBIE
        except library.Error:
            return None
        found = difference_s < START_TIME_TOLERANCE_S and not zombie
        return cast("psutil.Process", process) if found else None

    def stop(self, grace_s: float) -> None:
        """Terminate the process, and kill it after `grace_s`."""
        library = _psutil()
        for method in ("terminate", "kill"):
            if (process := self.find()) is None:
                return
            with suppress(library.NoSuchProcess):
                getattr(process, method)()
            # Not `Process.wait`: the parent may never reap it, leaving a zombie.
            deadline = time.monotonic() + grace_s
            while self.find() and time.monotonic() < deadline:
                time.sleep(POLL_S)


class FlowState(msgspec.Struct, frozen=True):
    """State of a flow as its supervisor reports it."""

    pid: int | None
    create_time: float | None
    state: str
    restarts: int
    exit_code: int | None
    deaths: int = 0
    """Consecutive deaths, each soon after a start."""

    def is_unstable(self, now_s: float) -> bool:
        """True if the flow runs, but started recently after several deaths.

        Args:
            now_s: wall-clock time.
        """
        young = self.create_time is not None and now_s - self.create_time < HEALTHY_S
        return self.state == RUNNING and self.deaths > 1 and young

    @property
    def is_failed(self) -> bool:
        """True if waiting for the flow is useless: it stopped or keeps dying."""
        return self.state == STOPPED or self.deaths >= FAILED_DEATHS

    def process(self) -> Process | None:
        """Return the flow's process; None if it has none."""
        if self.pid is None or self.create_time is None:
            return None
        return Process(self.pid, self.create_time)


class Stack(msgspec.Struct, frozen=True):
    """Content of `stack.json`."""

    pid: int
    create_time: float
    started_at: str
    kafka: str
    topic: str
    topic_id: str | None = None
    embedded: bool = False
    broker_pid: int | None = None
    broker_create_time: float | None = None
    ready: bool = False
    flows: dict[str, FlowState] = {}

    def settings(self, settings: Settings) -> Settings:
        """Return the settings with the broker and topic of the running stack."""
        return settings.replace(kafka=self.kafka, topic=self.topic)

    def children(self) -> list[Process]:
        """Return the flows, then the broker: the order in which they are stopped."""
        processes = [flow.process() for flow in self.flows.values()]
        if self.broker_pid is not None and self.broker_create_time is not None:
            processes.append(Process(self.broker_pid, self.broker_create_time))
        return [process for process in processes if process is not None]


class LocalFolder:
    """The folder `_local` of a lake. `Storage.local_folder` creates it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the folder of the configured lake, whether it exists or not.

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
        """Return the log path of the supervisor, the broker or a flow."""
        return self.path / f"{name}.log"

    def is_locked(self) -> bool:
        """Return True if a supervisor runs."""
        try:
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDONLY)
        except OSError:
            return False
        try:
            # Shared, so that two checks do not mistake each other for a supervisor.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Take the lock for the block; yield False if another process has it."""
        flags = os.O_RDWR | os.O_CREAT
        descriptor = os.open(self.path / LOCK_FILE, flags, 0o644)
        try:
            yield _flock(descriptor)
        finally:
            os.close(descriptor)

    def read(self) -> Stack | None:
        """Return the content of `stack.json`, written by a supervisor past or present.

        None if the file is missing or invalid.
        """
        try:
            return msgspec.json.decode(
                (self.path / STACK_FILE).read_bytes(), type=Stack
            )
        except (OSError, msgspec.MsgspecError):
            return None

    def running(self) -> Stack | None:
        """Return the running stack; None if it has not written `stack.json` yet."""
        return self.read() if self.is_locked() else None

    def write(self, stack: Stack) -> None:
        """Replace `stack.json` atomically."""
        draft = self.path / f"{STACK_FILE}.part"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(stack)) + b"\n")
        draft.replace(self.path / STACK_FILE)

    def clear(self) -> None:
        """Remove `stack.json` once the stack is stopped."""
        (self.path / STACK_FILE).unlink(missing_ok=True)

    def orphans(self) -> list[Process]:
        """Return the running processes of `stack.json`, left by a dead supervisor."""
        stack = self.read()
        children = stack.children() if stack else []
        return [process for process in children if process.find()]


def running_stack(settings: Settings) -> Stack | None:
    """Return the running stack of a lake; always None for one in an object store."""
    return None if settings.on_s3 else LocalFolder.of(settings).running()


def _flock(descriptor: int) -> bool:
    deadline = time.monotonic() + LOCK_TRIES_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # It may be another process in `is_locked`.
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        else:
            return True


def _psutil() -> Any:
    try:
        import psutil
    except ModuleNotFoundError:
        msg = "The local stack needs the package 'psutil'."
        raise MissingExtra(msg, install_todo("local")) from None
    return psutil
