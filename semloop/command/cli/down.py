"""`semloop down`: stop the local stack without losing events."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.stack.broker import LOG_FOLDER
from semloop.command.stack.process import Process
from semloop.command.stack.purge import delete_tables, not_deleted
from semloop.command.stack.state import LocalFolder, Stack, running_stack
from semloop.command.stack.supervisor import STOP_FLOW_S, STOP_STACK_S
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import POLL_S, spinner, wait_until
from semloop.errors import BrokerUnavailable, ConfigError, LakeError, Terminal
from semloop.flow_registry import ARCHIVE, LAKE_READERS
from semloop.kafka.clients import listens
from semloop.local.lock import owner_pid
from semloop.settings import LOCAL_FOLDER, Settings, load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.progress.backlog import Missing

# Time for a supervisor to write its files again; more than its interval.
FILES_S = 3.0


def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also delete the lake with all events.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Stop without waiting until all events are in the lake."
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the flows to catch up.")
    ] = 60.0,
) -> None:
    """Stop broker and flows when all events are in the lake; keep the lake."""
    settings = load()
    folder = LocalFolder.of(settings)
    if purge:
        _confirm_purge(folder, force=force)
    runs = folder.is_locked()
    # A supervisor restores a file that was lost.
    wait_until(lambda: not runs or folder.read() is not None, FILES_S)
    stack = folder.read() or (None if runs else folder.rebuilt())
    if runs and stack is None:
        raise _unreadable(folder)
    if stack is None or not (runs or folder.orphans()):
        folder.clear()
        if not purge:
            origin = f": {where}" if (where := folder.origin()) else ""
            msg = f"SemLoop is not running for the lake {settings.lake}{origin}."
            raise LakeError(msg, "Start it with `semloop up`.")
    else:
        end = "Stopped."
        if stack.embedded and not purge:
            end = _drain(settings, stack, folder, timeout, force=force)
        _stop(folder, stack, force=force)
        say(end)
    if purge:
        _delete(Path(settings.lake))


def stop_orphans(folder: LocalFolder) -> str:
    """Stop the processes of a killed supervisor; the next start continues with all.

    Returns:
        what to tell the user; "" if nothing is lost.
    """
    stack = folder.read() or folder.rebuilt()
    notice = lost(folder, stack) if stack else ""
    for process in folder.orphans():
        process.stop(STOP_FLOW_S)
    return notice


def lost(folder: LocalFolder, stack: Stack) -> str:
    """Return what is lost with a broker of an earlier version; "" if nothing is."""
    if not stack.embedded or (folder.path / LOG_FOLDER).is_dir():
        return ""
    what = "the broker, of an earlier version, has no log: "
    return what + "records that are not in the lake are lost"


def _drain(
    settings: Settings,
    stack: Stack,
    folder: LocalFolder,
    timeout_s: float,
    *,
    force: bool,
) -> str:
    """Wait until all records of the embedded broker are in the lake.

    Returns:
        the final message.

    Raises:
        Terminal: not all records are in the lake, and `force` is not given.
    """
    deadline = time.monotonic() + timeout_s
    left = _wait(settings, folder, stack, timeout_s if stack.flows else 0.0)
    if left is not None and left.is_empty:
        end = f"Stopped. Everything is in the lake {settings.lake}."
        for flow, offsets in _wait_for_lake_readers(settings, stack, deadline).items():
            # Not a loss: the flow reads from the lake.
            end += f" {flow} is {offsets:,} offsets behind; the next start resumes."
        return end
    if left is None:
        stack = folder.read() or stack
        what = "The broker does not answer"
        if listens(stack.kafka) and not stack.has_port():
            what = f"Another server has the address of the broker, {stack.kafka}"
        what += ", so it is not known what it still has."
        end = "the next start stores what the broker still has"
    else:
        what = f"Not in the lake yet: {left} (by partition: {left.by_partition()})."
        end = f"{left} are in the broker's log, and the next start stores them"
    end = lost(folder, stack) or end
    if force:
        return f"Stopped; {end}."
    msg = f"{what} Nothing was stopped."
    if not stack.flows:
        todo = "Run `semloop run archive --until-caught-up` first, or use --force: "
    else:
        todo = f"See {folder.log(ARCHIVE.name)}. Raise --timeout, or use --force: "
    raise Terminal(msg, f"{todo}{end}.")


def _wait(
    settings: Settings, folder: LocalFolder, stack: Stack, timeout_s: float
) -> "Missing | None":
    """Wait for `archive`; return what is missing, None if the broker is down.

    Another server at its address is never asked: it may have a topic of that name.
    """
    from semloop.errors import TopicMissing
    from semloop.kafka.topic import TopicAdmin
    from semloop.progress.backlog import missing
    from semloop.progress.positions import positions, stream_of

    settings = stack.settings(settings)
    storage, admin = Storage.of(settings), TopicAdmin(settings)
    deadline = time.monotonic() + timeout_s
    left: Missing | None = None
    with spinner("Waiting for archive ...") as update:
        while True:
            # The pid of the broker changes when it is restarted.
            is_own = (folder.read() or stack).has_port()
            try:
                topic = admin.describe() if is_own else None
                left = None
                if topic is not None:
                    found = positions(storage, stream_of(topic), topic.partitions)
                    left = missing(settings, found)
            except BrokerUnavailable:
                left = None
            except TopicMissing:
                left = missing(settings, {})
            if left is not None:
                update(f"Waiting for archive: {left} left ...")
            if (left is not None and left.is_empty) or time.monotonic() >= deadline:
                return left
            time.sleep(POLL_S)


def _wait_for_lake_readers(
    settings: Settings, stack: Stack, deadline: float
) -> dict[str, int]:
    """Wait until the other flows have read the events in the lake.

    Returns:
        flow -> remaining offsets, for flows that have not read everything.
    """
    settings = stack.settings(settings)
    left = {
        name: _wait_for_reader(settings, name, deadline)
        for name in LAKE_READERS
        if name in stack.flows
    }
    return {name: offsets for name, offsets in left.items() if offsets}


def _wait_for_reader(settings: Settings, flow: str, deadline: float) -> int:
    from semloop.progress.positions import behind, newest_stream

    storage = Storage.of(settings)
    stream = newest_stream(storage, settings.topic)
    if stream is None:
        return 0
    with spinner(f"Waiting for {flow} ...") as update:
        while True:
            left = sum(behind(storage, flow, *stream).values())
            stack = running_stack(settings)
            running = stack is not None and not stack.flows[flow].is_failed
            if not left or not running or time.monotonic() >= deadline:
                return left
            update(f"Waiting for {flow}: {left:,} offsets left ...")
            time.sleep(POLL_S)


def _stop(folder: LocalFolder, stack: Stack, *, force: bool) -> None:
    supervisor = stack.supervisor()
    with spinner("Stopping ..."):
        found = supervisor.terminate()
        has_ended = lambda: _has_ended(supervisor, folder)  # noqa: E731
        if found and not wait_until(has_ended, STOP_STACK_S):
            if not force:
                msg = f"The supervisor (pid {stack.pid}) does not stop."
                raise Terminal(msg, "Use --force to kill it.")
            supervisor.stop(1.0)
        elif not found and not wait_until(lambda: not folder.is_locked(), FILES_S):
            msg = f"The supervisor (pid {stack.pid}) runs, but not visibly from here."
            todo = "Run `semloop down` on the host or in the container where it runs."
            raise Terminal(msg, todo)
        for process in folder.orphans():
            process.stop(STOP_FLOW_S)
    folder.clear()


def _has_ended(supervisor: Process, folder: LocalFolder) -> bool:
    """Return True if the supervisor released its lock and its process is gone."""
    return not folder.is_locked() and supervisor.find() is None


def _unreadable(folder: LocalFolder) -> LakeError:
    """Return the error of a stack that runs, but does not say what it consists of."""
    if not folder.has_other_version():
        return LakeError("SemLoop is still starting.", "Try again in a moment.")
    pid = owner_pid(folder.path)
    msg = "The stack of this lake was started by another version of semloop"
    msg += f" (supervisor: pid {pid})." if pid else "."
    todo = "Stop it with `semloop down` of that version"
    todo += f", or with `kill {pid}` once your agents pause." if pid else "."
    return LakeError(msg, todo)


def _confirm_purge(folder: LocalFolder, *, force: bool) -> None:
    lake = folder.path.parent
    if not folder.path.is_dir():
        msg = f"{lake} was not created by `semloop up`: no folder {LOCAL_FOLDER} in it."
        raise LakeError(msg, "Set SEMLOOP_LAKE to the lake to delete.")
    if force:
        return
    if not sys.stdin.isatty():
        msg = f"--purge deletes {lake} and needs a confirmation from a terminal."
        raise ConfigError(msg, "Add --force to delete it without confirmation.")
    typer.confirm(f"Delete the lake {lake} with all its events?", abort=True)


def _delete(lake: Path) -> None:
    others = delete_tables(lake)
    try:
        if not others:
            lake.rmdir()
    except OSError as error:
        raise not_deleted(error) from None
    if others:
        say(f"Deleted the tables of {lake}; other files kept: {', '.join(others)}.")
    else:
        say(f"Deleted {lake}.")
