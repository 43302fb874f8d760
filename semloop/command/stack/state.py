"""Files of a running stack in the lake: a lock, `stack.json` and its logs.

The stack is running while its supervisor has the lock. `stack.json` counts only in the
folder for which it was written, and a pid in it only if its process has the mark of the
lake: the folder may be a copy, and another process may have got the pid.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import msgspec

from semloop.command.stack.back_off import HEALTHY_S
from semloop.command.stack.process import Process
from semloop.errors import LakeError
from semloop.flow_registry import STREAMING
from semloop.local.identity import LakeIdentity, is_of, read_identity
from semloop.local.lock import (
    Holder,
    StackLock,
    held_lock,
    is_held,
    moved_holder,
)
from semloop.local.marks import Marked, marked_processes
from semloop.local.stack_file import STACK_FILE
from semloop.settings import LOCAL_FOLDER, PREFIX, Settings

# Names of processes of a stack in their marks; flows have their own.
SUPERVISOR, BROKER = "supervisor", "broker"
# Deaths in quick succession after which a flow counts as failed.
FAILED_DEATHS = 5
RUNNING, RESTARTING, STOPPED = "running", "restarting", "stopped"


class FlowState(msgspec.Struct, frozen=True):
    """State of a flow as its supervisor reports it."""

    pid: int | None
    create_time: float | None
    state: str
    restarts: int
    exit_code: int | None
    deaths: int = 0
    """Consecutive deaths, each soon after a start."""

    def is_unstable(self, age_s: float | None) -> bool:
        """True if the flow runs, but started recently after several deaths.

        Args:
            age_s: for how long its process has run; None if that is not known.
        """
        is_young = age_s is not None and age_s < HEALTHY_S
        return self.state == RUNNING and self.deaths > 1 and is_young

    @property
    def is_failed(self) -> bool:
        """True if waiting for the flow is useless: it stopped or keeps dying."""
        return self.state == STOPPED or self.deaths >= FAILED_DEATHS

    def process(self, lake_id: str = "") -> Process | None:
        """Return the flow's process; None if it has none."""
        if self.pid is None or self.create_time is None:
            return None
        return Process(self.pid, self.create_time, lake_id)


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
    lake: LakeIdentity | None = None

    @property
    def lake_id(self) -> str:
        """Id of the lake; empty in a file without one."""
        return self.lake.id if self.lake else ""

    def supervisor(self) -> Process:
        """Return the supervisor."""
        return Process(self.pid, self.create_time, self.lake_id)

    def settings(self, settings: Settings) -> Settings:
        """Return the settings with the broker and topic of the running stack."""
        return settings.replace(kafka=self.kafka, topic=self.topic)

    def children(self) -> list[Process]:
        """Return the flows, then the broker: the order in which they are stopped."""
        of = self.lake_id
        processes = [flow.process(of) for flow in self.flows.values()]
        processes.append(self.broker())
        return [process for process in processes if process is not None]

    def broker(self) -> Process | None:
        """Return the embedded broker; None if it does not run."""
        if self.broker_pid is None or self.broker_create_time is None:
            return None
        return Process(self.broker_pid, self.broker_create_time, self.lake_id)

    def has_port(self) -> bool:
        """Return True if the embedded broker, not another server, is at its address."""
        broker = self.broker()
        return broker is not None and broker.listens(self.kafka)


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
        """Return True if a supervisor of this lake runs."""
        return is_held(self.path)

    def moved_supervisor(self) -> Holder | None:
        """Return the supervisor that runs for the place the folder was moved from."""
        return moved_holder(self.path)

    def lock(self) -> AbstractContextManager[StackLock | None]:
        """Take the lock for the block; yield None if another process has it."""
        stack = self._decoded()
        return held_lock(self.path, stack.lake if stack else None)

    def origin(self) -> str:
        """Return where the folder was copied or moved from; empty if it was not."""
        identity = read_identity(self.path)
        return identity.difference(self.path) if identity else ""

    def read(self) -> Stack | None:
        """Return the content of `stack.json`, written by a supervisor past or present.

        None if the file is missing, invalid, or belongs to a lake in another place.
        """
        stack = self._decoded()
        return stack if stack and stack.lake and is_of(stack.lake, self.path) else None

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

    def has_other_version(self) -> bool:
        """Return True if `stack.json` is that of another version of the program."""
        stack = self._decoded()
        return stack.lake is None if stack else (self.path / STACK_FILE).exists()

    def orphans(self) -> list[Process]:
        """Return the running processes that a dead supervisor left, the broker last."""
        stack = self.read() or self.rebuilt()
        found = stack.children() if stack else []
        known = {process.pid for process in found}
        others = [p for p in self._marked() if p.pid not in known]
        found[:0] = [Process(p.pid, 0.0, self._lake_id()) for p in others]
        return [process for process in found if process.find()]

    def rebuilt(self) -> Stack | None:
        """Return what runs of a stack whose supervisor and `stack.json` are gone."""
        marked = {process.name: process for process in self._marked()}
        if not marked:
            return None
        environ = next(iter(marked.values())).environ
        broker = marked.get(BROKER)
        return Stack(
            pid=0,
            create_time=0.0,
            started_at="",
            kafka=environ.get(f"{PREFIX}KAFKA", ""),
            topic=environ.get(f"{PREFIX}TOPIC", ""),
            embedded=broker is not None,
            broker_pid=broker.pid if broker else None,
            broker_create_time=0.0 if broker else None,
            flows={
                name: FlowState(process.pid, 0.0, RUNNING, 0, None)
                for name, process in marked.items()
                if name in STREAMING
            },
            lake=read_identity(self.path),
        )

    def _marked(self) -> list[Marked]:
        """Return the processes of this lake, except supervisors."""
        found = marked_processes(lake_id) if (lake_id := self._lake_id()) else []
        return [process for process in found if process.name != SUPERVISOR]

    def _lake_id(self) -> str:
        """Return the id of the lake; empty if it has none in this place."""
        stack = self.read()
        identity = stack.lake if stack else read_identity(self.path)
        return identity.id if identity and identity.is_here(self.path) else ""

    def _decoded(self) -> Stack | None:
        try:
            content = (self.path / STACK_FILE).read_bytes()
            return msgspec.json.decode(content, type=Stack)
        except (OSError, msgspec.MsgspecError):
            return None


def running_stack(settings: Settings) -> Stack | None:
    """Return the running stack of a lake; always None for one in an object store."""
    return None if settings.on_s3 else LocalFolder.of(settings).running()
