"""The demo's lake: a folder of its own, made anew by each demo and left by it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semloop.command.stack.purge import delete_tables
from semloop.command.stack.state import LocalFolder
from semloop.command.terminal.progress import wait_until
from semloop.errors import LakeError
from semloop.settings import LOCAL_FOLDER, PREFIX, Settings, load
from semloop.settings.model import places

NAME = "semloop-demo"
# Only a folder with this file is ever emptied; it is also what two demos fight for.
MARKER = "_demo"
WORDS = "A lake of `semloop demo`; the next demo in this place replaces its tables.\n"
# The demo has its own of these, so yours may be anything.
NOT_YOURS = ("lake", "topic", "sample", "spool")
# A killed demo takes its broker and flow along, which takes a moment.
ENDS_S = 5.0
# The broker holds nothing that it could save, and asked politely it waits.
STOP_S = 1.0


@contextmanager
def own_folder() -> Iterator[Path]:
    """The folder, emptied, and held against other demos for as long as the block runs.

    Raises:
        LakeError: it cannot be made, is not a demo's, or somebody uses it.
    """
    folder = Path.cwd() / NAME
    try:
        held = _hold(folder)
    except OSError as error:
        msg = f"The folder {folder} cannot be made or used: {error.strerror}."
        raise LakeError(msg, "Run the demo in a folder where you may write.") from None
    try:
        _refuse_running(folder)
        delete_tables(folder)
        yield folder
    finally:
        os.close(held)


def private_settings(folder: Path) -> Settings:
    """The demo's settings: the defaults, whatever yours are, but yours must be valid.

    Raises:
        ConfigError: yours are not.
    """
    ignored = {
        f"{PREFIX}{name.upper()}"
        for name in places()
        if name in NOT_YOURS or name.startswith("kafka")
    }
    environ = {k: v for k, v in os.environ.items() if k not in ignored}
    yours = load(environ, lake=str(folder))
    return Settings().replace(
        lake=str(folder),
        spool=str(folder / LOCAL_FOLDER / "spool"),
        # Who interrupts the demo does not wait for its events.
        agent_flush_s=0.1,
        debug=yours.debug,
    )


def _hold(folder: Path) -> int:
    """Make the folder if it is missing, and lock it; the lock's file descriptor."""
    if folder.is_symlink() or not _is_ours(folder):
        msg = f"{folder} exists and was not made by `semloop demo`."
        raise LakeError(msg, "Rename it, or run the demo in another folder.")
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / MARKER, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        msg = f"Another demo runs in {folder}."
        raise LakeError(msg, "Wait for its end, or use another folder.") from None
    os.pwrite(descriptor, WORDS.encode(), 0)
    return descriptor


def _is_ours(folder: Path) -> bool:
    """Whether the folder is absent, empty, or was made by a demo."""
    try:
        names = {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    marker = folder / MARKER
    if names <= {MARKER}:  # A demo that was killed at once had no time for words.
        return not names or marker.stat().st_size in {0, len(WORDS)}
    return marker.is_file() and marker.read_bytes() == WORDS.encode()


def _refuse_running(folder: Path) -> None:
    local = LocalFolder(folder / LOCAL_FOLDER)
    if not wait_until(lambda: not local.is_locked(), ENDS_S):
        msg = f"`semloop up` runs for the demo's lake {folder}."
        raise LakeError(msg, f"Stop it: SEMLOOP_LAKE={NAME} semloop down")
    for process in local.orphans():
        process.stop(STOP_S)
