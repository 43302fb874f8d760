"""`semloop down`: stop the local stack once nothing of it would be lost."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.command.stack.purge import delete_tables, not_deleted
from semloop.command.stack.state import LocalFolder, Process, Stack, running
from semloop.command.stack.supervisor import STOP_FLOW_S
from semloop.command.terminal.progress import LOOK_S, until, waiting
from semloop.errors import BrokerUnavailable, ConfigError, LakeError, Terminal
from semloop.flow_registry import ARCHIVE, LAKE_READERS
from semloop.settings import LOCAL_FOLDER, Settings, load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.progress.backlog import Missing

# The flows' grace, and a little for everything after it.
STOP_S = STOP_FLOW_S + 10.0
# What a crash left running gets so long to bring the rest into the lake.
LEFTOVERS_S = 10.0


def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete the lake too, with all events.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Whatever is lost by it; ask nothing.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for archive to catch up.")
    ] = 60.0,
) -> None:
    """Stop broker and flows, once all events are in the lake; keep the lake."""
    settings = load()
    folder = LocalFolder.of(settings)
    if purge:
        _confirm_purge(folder, force=force)
    runs = folder.is_locked()
    stack = folder.read()
    if runs and stack is None:
        msg = "SemLoop is just starting."
        raise LakeError(msg, "Try again in a moment.")
    if stack is None or not (runs or folder.leftovers()):
        folder.forget()
        if not purge:
            msg = f"SemLoop does not run for the lake {settings.lake}."
            raise LakeError(msg, "Start it with `semloop up`.")
    else:
        end = "Stopped."
        if stack.embedded and not purge:
            end = _drain(settings, stack, folder, timeout, force=force)
        _stop(folder, stack, force=force)
        print(end)
    if purge:
        _delete(Path(settings.lake))


def stop_leftovers(settings: Settings, folder: LocalFolder) -> None:
    """Stop what a killed supervisor left running, if possible without a loss."""
    stack = folder.read()
    if stack is None:
        return
    if stack.broker_pid is not None:
        flows = [flow.process() for flow in stack.flows.values()]
        lives = any(flow is not None and flow.found() for flow in flows)
        left = _wait(settings, stack, LEFTOVERS_S if lives else 0.0)
        if left is not None and not left.is_empty:
            print(f"Lost by the crash: {left}, in memory only.", file=sys.stderr)
    for process in stack.children():
        process.stop(STOP_FLOW_S)


def _drain(
    settings: Settings,
    stack: Stack,
    folder: LocalFolder,
    timeout_s: float,
    *,
    force: bool,
) -> str:
    """Wait until all that is in the embedded broker is in the lake.

    Returns:
        What to say at the end.

    Raises:
        Terminal: something would be lost, and `force` is not given.
    """
    deadline = time.monotonic() + timeout_s
    left = _wait(settings, stack, timeout_s if stack.flows else 0.0)
    if left is not None and left.is_empty:
        end = f"Stopped. Everything is in the lake {settings.lake}."
        for flow, offsets in _wait_for_lake_readers(settings, stack, deadline).items():
            # Nothing is lost by that: it reads the lake.
            end += f" {flow} is {offsets:,} offsets behind; the next start goes on."
        return end
    if left is None:
        what, end = "The broker does not answer: what it holds", "what it held is lost"
    else:
        what = f"Not in the lake yet: {left} (by partition: {left.by_partition()});"
        what += " the broker keeps them in memory only, so they"
        end = f"{left} lost"
    if force:
        return f"Stopped; {end}."
    msg = f"{what} would be lost. Nothing was stopped."
    if not stack.flows:
        todo = "Bring them in by `semloop run archive --until-caught-up`, or --force."
    else:
        todo = f"Wait longer by --timeout, or --force. See {folder.log(ARCHIVE.name)}."
    raise Terminal(msg, todo)


def _wait(settings: Settings, stack: Stack, timeout_s: float) -> "Missing | None":
    """Wait for `archive`; what is missing at the end, None if nobody could tell."""
    from semloop.errors import TopicMissing
    from semloop.kafka.topic import TopicAdmin
    from semloop.progress.backlog import missing
    from semloop.progress.positions import positions, stream_of

    settings = stack.settings(settings)
    storage, admin = Storage.of(settings), TopicAdmin(settings)
    deadline = time.monotonic() + timeout_s
    left: Missing | None = None
    with waiting("Waiting for archive ...") as tell:
        while True:
            try:
                topic = admin.describe()
                found = positions(storage, stream_of(topic), topic.partitions)
                left = missing(settings, found)
            except BrokerUnavailable:
                left = None
            except TopicMissing:
                left = missing(settings, {})
            if left is not None:
                tell(f"Waiting for archive: {left} left ...")
            if (left is not None and left.is_empty) or time.monotonic() >= deadline:
                return left
            time.sleep(LOOK_S)


def _wait_for_lake_readers(
    settings: Settings, stack: Stack, deadline: float
) -> dict[str, int]:
    """Wait until other flows have read the events that are in the lake.

    Returns:
        flow -> offsets that are left; none of a flow that has read all.
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
    named = newest_stream(storage, settings.topic)
    if named is None:
        return 0
    with waiting(f"Waiting for {flow} ...") as tell:
        while True:
            left = sum(behind(storage, flow, *named).values())
            known = running(settings)
            lives = known is not None and not known.flows[flow].is_hopeless
            if not left or not lives or time.monotonic() >= deadline:
                return left
            tell(f"Waiting for {flow}: {left:,} offsets left ...")
            time.sleep(LOOK_S)


def _stop(folder: LocalFolder, stack: Stack, *, force: bool) -> None:
    supervisor = Process(stack.pid, stack.create_time)
    with waiting("Stopping ..."):
        if (handle := supervisor.found()) is not None:
            handle.terminate()
            if not until(lambda: not folder.is_locked(), STOP_S):
                if not force:
                    msg = f"The supervisor (pid {stack.pid}) does not stop."
                    raise Terminal(msg, "Use --force to kill it.")
                supervisor.stop(1.0)
        for process in stack.children():
            process.stop(STOP_FLOW_S)
    folder.forget()


def _confirm_purge(folder: LocalFolder, *, force: bool) -> None:
    lake = folder.path.parent
    if not folder.path.is_dir():
        msg = f"{lake} was not made by `semloop up`: it has no {LOCAL_FOLDER}."
        raise LakeError(msg, "Set SEMLOOP_LAKE to the lake to delete.")
    if force:
        return
    if not sys.stdin.isatty():
        msg = f"--purge deletes {lake}, and there is nobody to ask."
        raise ConfigError(msg, "Add --force.")
    typer.confirm(f"Delete the lake {lake} with all its events?", abort=True)


def _delete(lake: Path) -> None:
    rest = delete_tables(lake)
    try:
        if not rest:
            lake.rmdir()
    except OSError as error:
        raise not_deleted(error) from None
    if rest:
        print(f"Deleted the tables of {lake}; not ours, so kept: {', '.join(rest)}.")
    else:
        print(f"Deleted {lake}.")
