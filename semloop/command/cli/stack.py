"""`semloop up`: the local stack in the background, told when it really reads."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.stack.start import failed, ready, refuse_second, size_of
from semloop.command.stack.state import LocalFolder, Stack
from semloop.command.stack.supervisor import (
    STOP_FLOW_S,
    Supervisor,
    check_startable,
    semloop_command,
)
from semloop.command.terminal.progress import LOOK_S, waiting
from semloop.errors import ConfigError
from semloop.flow_registry import ARCHIVE, STREAMING
from semloop.kafka.clients import DEFAULT_ADDRESS
from semloop.settings import PREFIX, Settings, load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.kafka.topic import Topic
    from semloop.progress.positions import Position

# A flow that did not take its tables over by then is told as "still starting".
FLOW_STARTS_S = 30.0


def up(
    broker_only: Annotated[
        bool, typer.Option("--broker-only", help="Only the broker and its topic.")
    ] = False,
) -> None:
    """Start broker, topic and flows in the background."""
    settings = load()
    folder = LocalFolder.of(settings)
    if broker_only and settings.kafka is not None:
        msg = f"SEMLOOP_KAFKA names a broker: {settings.kafka}; none is started."
        raise ConfigError(msg, "Leave out --broker-only, or unset SEMLOOP_KAFKA.")
    refuse_second(folder)
    check_startable(settings)
    Storage.of(settings).local_folder()
    with waiting("Starting ...") as tell:
        if folder.leftovers():
            from semloop.command.cli.down import stop_leftovers

            tell("Stopping what a crash has left running ...")
            stop_leftovers(settings, folder)
        stack, reads = _start(settings, folder, broker_only=broker_only)
    _greet(settings, stack, reads=reads)


def supervise(
    broker_only: Annotated[bool, typer.Option("--broker-only")] = False,
    private: Annotated[bool, typer.Option("--private")] = False,
) -> None:
    """The process that `up` leaves behind; a private one ends with its parent."""
    if private:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    Supervisor(load(), broker_only=broker_only, private=private).run()


def _stop_with_parent() -> None:
    """Standard input ends when the parent does, however that died."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _start(
    settings: Settings, folder: LocalFolder, *, broker_only: bool
) -> tuple[Stack, bool]:
    """Start everything, or nothing; also whether the flow reads already."""
    before: dict[int, Position] = {}
    if settings.kafka is not None:
        # Asked here, so that an error comes at once and in its own words.
        before = _positions(settings, _topic(settings, make=True))
    logs = {name: size_of(folder.log(name)) for name in ("supervisor", *STREAMING)}
    supervisor = _spawn(settings, folder, broker_only=broker_only)
    try:
        stack = ready(supervisor, folder, logs["supervisor"])
        if broker_only:
            return stack, True
        return stack, _reads(settings, stack, folder, before, logs[ARCHIVE.name])
    except BaseException:
        supervisor.terminate()
        supervisor.wait(STOP_FLOW_S * 2)
        raise


def _spawn(
    settings: Settings, folder: LocalFolder, *, broker_only: bool
) -> "subprocess.Popen[bytes]":
    option = ["--broker-only"] if broker_only else []
    with folder.log("supervisor").open("ab") as log:
        return subprocess.Popen(
            semloop_command("_supervise", *option),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, f"{PREFIX}LAKE": settings.lake},
            # Neither a closed terminal nor its Ctrl-C may end it.
            start_new_session=True,
        )


def _reads(
    settings: Settings,
    stack: Stack,
    folder: LocalFolder,
    before: "dict[int, Position]",
    since: int,
) -> bool:
    """Wait until `archive` has taken its tables over: from then on it reads."""
    settings = stack.settings(settings)
    deadline = time.monotonic() + FLOW_STARTS_S
    while time.monotonic() < deadline:
        now = folder.read()
        flow = now.flows.get(ARCHIVE.name) if now else None
        if flow is None or flow.exit_code is not None:
            raise failed(
                folder.log(ARCHIVE.name), since, "The flow archive ended at its start"
            )
        found = _positions(settings, _topic(settings))
        if any(at.epoch > _epoch(before, p) for p, at in found.items()):
            return True
        time.sleep(LOOK_S)
    return False


def _epoch(before: "dict[int, Position]", partition: int) -> int:
    return before[partition].epoch if partition in before else 0


def _topic(settings: Settings, *, make: bool = False) -> "Topic":
    from semloop.kafka.topic import TopicAdmin

    admin = TopicAdmin(settings)
    return admin.ensure() if make else admin.describe()


def _positions(settings: Settings, topic: "Topic") -> "dict[int, Position]":
    from semloop.progress.positions import positions, stream_of

    return positions(Storage.of(settings), stream_of(topic), topic.partitions)


def _greet(settings: Settings, stack: Stack, *, reads: bool) -> None:
    print(f"Kafka  {stack.kafka}, topic {stack.topic!r}")
    print(f"Lake   {settings.lake}")
    if not reads:
        print("The flow archive is still starting; `semloop status` shows it.")
    if stack.embedded and stack.kafka != DEFAULT_ADDRESS:
        print(
            f"Port {DEFAULT_ADDRESS.rpartition(':')[2]} is taken. Agents in other "
            f"folders need: export SEMLOOP_KAFKA={stack.kafka}"
        )
    print("Try    semloop import FILE --format events|chat")
    if stack.flows:
        print("       semloop sql 'SELECT type, count(*) FROM events GROUP BY ALL'")
    print("       semloop status, semloop down")
