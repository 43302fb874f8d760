"""`semloop up`: start the local stack in the background and wait until it reads."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from semloop import layout
from semloop.command.stack.left_events import SPOOL, count_left
from semloop.command.stack.start import (
    failed,
    ready,
    refuse_second,
    size_of,
    supervisor_mark,
)
from semloop.command.stack.state import LocalFolder, Stack
from semloop.command.stack.supervisor import (
    STOP_STACK_S,
    Supervisor,
    check_startable,
    semloop_command,
)
from semloop.command.terminal.figures import format_count
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import POLL_S, spinner
from semloop.errors import ConfigError
from semloop.flow_registry import ARCHIVE, STREAMING
from semloop.kafka.clients import DEFAULT_ADDRESS
from semloop.settings import PREFIX, Settings, load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.delta.streams import StreamId
    from semloop.kafka.topic import Topic
    from semloop.progress.positions import Position

# After this time `up` reports the flow as still starting and returns.
FLOW_STARTS_S = 30.0


def up(
    broker_only: Annotated[
        bool,
        typer.Option("--broker-only", help="Start only the broker and its topic."),
    ] = False,
) -> None:
    """Start broker, topic and flows in the background."""
    settings = load()
    folder = LocalFolder.of(settings)
    if broker_only and settings.kafka is not None:
        msg = f"SEMLOOP_KAFKA is set to {settings.kafka}, so no broker is started."
        raise ConfigError(msg, "Omit --broker-only, or unset SEMLOOP_KAFKA.")
    refuse_second(folder)
    check_startable(settings)
    storage = Storage.of(settings)
    layout.check(storage)
    storage.local_folder()
    origin, notice = folder.origin(), ""
    left = 0 if broker_only else count_left(settings)
    with spinner("Starting ...") as update:
        if folder.orphans():
            from semloop.command.cli.down import stop_orphans

            update("Stopping processes left by a crash ...")
            notice = stop_orphans(folder)
        stack, reading = _start(settings, folder, broker_only=broker_only)
    _print_summary(settings, stack, origin, reading=reading)
    if notice:
        say(f"Note   {notice}")
    if layout.is_older(storage):
        say(f"Note   The lake has the layout of an earlier version. {layout.UPGRADE}")
    if left:
        log = folder.log(SPOOL)
        events = format_count(left, "event")
        say(f"Spool  {events} that ended processes left are sent now; see {log}")


def supervise(
    broker_only: Annotated[bool, typer.Option("--broker-only")] = False,
    private: Annotated[bool, typer.Option("--private")] = False,
) -> None:
    """Run the supervisor, in the background process that `up` starts.

    A private supervisor stops when its parent ends.
    """
    if private:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    Supervisor(load(), broker_only=broker_only, private=private).run()


def _stop_with_parent() -> None:
    """Send SIGTERM to this process when standard input closes: the parent ended."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _start(
    settings: Settings, folder: LocalFolder, *, broker_only: bool
) -> tuple[Stack, bool]:
    """Start all processes or none; also return whether `archive` is reading."""
    if settings.kafka is not None:
        # Connect here first, so that an error is immediate and reported as it is. What
        # the lake read last may have been another topic, or that of another cluster.
        before = _positions(settings, _topic(settings, make=True))
    else:
        before = _newest_positions(settings)
    logs = {name: size_of(folder.log(name)) for name in ("supervisor", *STREAMING)}
    supervisor = _spawn(settings, folder, broker_only=broker_only)
    try:
        stack = ready(supervisor, folder, logs["supervisor"])
        if broker_only:
            return stack, True
        since = logs[ARCHIVE.name]
        return stack, _wait_for_archive(settings, stack, folder, before, since)
    except BaseException:
        supervisor.terminate()
        with suppress(subprocess.TimeoutExpired):  # the first error is the one to show
            supervisor.wait(STOP_STACK_S)
        raise


def _spawn(
    settings: Settings, folder: LocalFolder, *, broker_only: bool
) -> "subprocess.Popen[bytes]":
    option = ["--broker-only"] if broker_only else []
    marked = supervisor_mark(folder)
    with folder.log("supervisor").open("ab") as log:
        return subprocess.Popen(
            semloop_command("_supervise", *option),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, f"{PREFIX}LAKE": settings.lake, **marked},
            # Neither a closed terminal nor Ctrl-C may stop it.
            start_new_session=True,
        )


def _wait_for_archive(
    settings: Settings,
    stack: Stack,
    folder: LocalFolder,
    before: "tuple[StreamId | None, dict[int, Position]]",
    since: int,
) -> bool:
    """Wait until `archive` has taken over its tables, after which it reads."""
    settings = stack.settings(settings)
    deadline = time.monotonic() + FLOW_STARTS_S
    while time.monotonic() < deadline:
        now = folder.read()
        flow = now.flows.get(ARCHIVE.name) if now else None
        if flow is None or flow.exit_code is not None:
            raise failed(
                folder.log(ARCHIVE.name), since, "The flow archive failed to start"
            )
        stream, found = _positions(settings, _topic(settings))
        # A stream that is new has no epochs before.
        earlier = before[1] if before[0] == stream else {}
        if any(at.epoch > _epoch(earlier, p) for p, at in found.items()):
            return True
        time.sleep(POLL_S)
    return False


def _epoch(before: "dict[int, Position]", partition: int) -> int:
    return before[partition].epoch if partition in before else 0


def _topic(settings: Settings, *, make: bool = False) -> "Topic":
    from semloop.kafka.topic import TopicAdmin

    admin = TopicAdmin(settings)
    return admin.ensure() if make else admin.describe()


def _positions(
    settings: Settings, topic: "Topic"
) -> "tuple[StreamId | None, dict[int, Position]]":
    from semloop.progress.positions import positions, stream_of

    stream = stream_of(topic)
    return stream, positions(Storage.of(settings), stream, topic.partitions)


def _newest_positions(
    settings: Settings,
) -> "tuple[StreamId | None, dict[int, Position]]":
    """Return the newest stream in the lake, and its positions."""
    from semloop.progress.positions import newest_stream, positions

    storage = Storage.of(settings)
    newest = newest_stream(storage, settings.topic)
    return (newest[0], positions(storage, *newest)) if newest else (None, {})


def _print_summary(
    settings: Settings, stack: Stack, origin: str, *, reading: bool
) -> None:
    say(f"Kafka  {stack.kafka}, topic {stack.topic!r}")
    say(f"Lake   {settings.lake}")
    if origin:
        say(f"       ({origin}; this stack is its own)")
    if not reading:
        say("The flow archive is still starting; check it with `semloop status`.")
    if stack.embedded and stack.kafka != DEFAULT_ADDRESS:
        say(
            f"Port {DEFAULT_ADDRESS.rpartition(':')[2]} is in use. Agents in other "
            f"folders need: export SEMLOOP_KAFKA={stack.kafka}"
        )
    say("Try    semloop import FILE")
    if stack.flows:
        say("       semloop sql 'SELECT type, count(*) FROM events GROUP BY ALL'")
    say("       semloop status, semloop down")
