"""`semloop watch`: follows the session files of coding agents as they grow."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from semloop.agent.local_stack import nearest_lake
from semloop.command.cli.since_option import SINCE_HELP, parse_since
from semloop.command.cli.watch_answers import agreed_places
from semloop.command.cli.watch_run import WatchRun
from semloop.command.cli.watch_status import WatchStatus
from semloop.errors import ConfigError
from semloop.open_files import raised_file_limit
from semloop.settings import Settings, load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from sources.following.places import Place
    from sources.transcripts.options import Options

# Open files other than session files: connections, the spool, the positions.
OTHER_FILES = 256


def watch(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDER]...",
            help="Folders with session files; those of known tools if not given.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Follow the default places; ask no-one.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Read what is there, and end.")
    ] = False,
    agent: Annotated[
        str, typer.Option(help="Agent of the events instead of the tool's name.")
    ] = "",
    namespace: Annotated[str, typer.Option(help="Namespace of the events.")] = "",
    user: Annotated[str, typer.Option(help="User of the events.")] = "",
    since: Annotated[str, typer.Option(help=SINCE_HELP)] = "",
) -> None:
    """Follow the session files of coding agents; each line becomes an event once.

    Runs until Ctrl-C or SIGTERM. Before it reads the default places for the first
    time, it asks.
    """
    from semloop.agent.emitters import emitter_of
    from sources.following.follower import OPEN_MAX, Follower
    from sources.following.outlet import Outlet
    from sources.following.positions import Positions

    settings = load()
    options = _options(settings, agent, namespace, user, since)
    places = _places(settings, folders or [], yes=yes)
    storage = Storage.of(_of_stack(settings))
    with _alone(storage), _until_signal() as stop:
        positions = Positions(storage)
        outlet = Outlet(settings, emitter_of(settings))
        follower = Follower(places, options, positions.load(), outlet.send)
        follower.open_max = raised_file_limit(OPEN_MAX + OTHER_FILES) - OTHER_FILES
        run = WatchRun(follower, outlet, positions, stop, once=once)
        with WatchStatus(follower, outlet, places) as status:
            run.follow(status)
            run.end()
            status.summarize()
        run.check()


def _options(
    settings: Settings, agent: str, namespace: str, user: str, since: str
) -> "Options":
    from sources.transcripts.options import Options

    return Options(
        agent=agent or None,
        namespace=namespace or None,
        user=user or None,
        since=parse_since(since) if since else None,
        guess_errors=settings.imports.guess_errors,
    )


def _places(settings: Settings, folders: list[str], *, yes: bool) -> "list[Place]":
    """Return the folders to follow; those that the user names need no question.

    Raises:
        ConfigError: one of them is no folder, or there is nothing to follow.
    """
    from sources.following.places import place_of

    if not folders:
        return agreed_places(settings, yes=yes)
    for folder in folders:
        if not Path(folder).is_dir():
            msg = f"{folder!r} is not a folder."
            raise ConfigError(msg, "Name folders; all files below them are followed.")
    return [place_of(folder) for folder in folders]


def _of_stack(settings: Settings) -> Settings:
    """Return the settings with the lake of the stack that events are sent to."""
    if settings.kafka or settings.on_s3:
        return settings
    return replace(settings, lake=str(nearest_lake(settings)))


@contextmanager
def _alone(storage: Storage) -> Iterator[None]:
    """Let one process follow files for a lake in a folder.

    Raises:
        ConfigError: another one does.
    """
    import fcntl

    from semloop.storage.local_files import make_folder
    from sources.following.positions import FOLDER

    if storage.on_s3 or not Path(storage.root).is_dir():
        yield
        return
    folder = Path(storage.root, FOLDER)
    make_folder(folder, storage.file_mode)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(folder / "lock", flags, storage.file_mode)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"Another `semloop watch` runs for the lake {storage.root}."
            todo = "Stop it first, or name all folders in one command."
            raise ConfigError(msg, todo) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _until_signal() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set; the second one ends the process."""
    stop = threading.Event()

    def end(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, end) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
