"""The demo's lake: its own folder, cleared at the start and left at the end."""

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
from semloop.settings.model import setting_fields

NAME = "semloop-demo"
# Only a folder with this file is ever cleared; the file is also the lock of a demo.
MARKER = "_demo"
MARKER_TEXT = "A lake of `semloop demo`; the next demo here replaces its tables.\n"
# Settings that the demo overrides; the user's values are not even validated.
OVERRIDDEN = ("lake", "topic", "sample", "spool")
# Time for the broker and flows of a killed demo to end.
SHUTDOWN_S = 5.0
# The broker has nothing to save, but waits if terminated gracefully.
STOP_S = 1.0


@contextmanager
def own_folder() -> Iterator[Path]:
    """Clear the folder, and lock it against other demos during the block.

    Raises:
        LakeError: it cannot be created, is not a demo's, or is in use.
    """
    folder = Path.cwd() / NAME
    try:
        lock = _locked(folder)
    except OSError as error:
        msg = f"The folder {folder} cannot be created or used: {error.strerror}."
        raise LakeError(msg, "Run the demo in a writable folder.") from None
    try:
        _refuse_running(folder)
        delete_tables(folder)
        yield folder
    finally:
        os.close(lock)


def private_settings(folder: Path) -> Settings:
    """Return the demo's settings: the defaults, independent of the user's settings.

    Raises:
        ConfigError: the user's settings are not valid.
    """
    ignored = {
        f"{PREFIX}{name.upper()}"
        for name in setting_fields()
        if name in OVERRIDDEN or name.startswith("kafka")
    }
    environ = {k: v for k, v in os.environ.items() if k not in ignored}
    user = load(environ, lake=str(folder))
    return Settings().replace(
        lake=str(folder),
        spool=str(folder / LOCAL_FOLDER / "spool"),
        # An interrupted demo does not wait for its events.
        agent_flush_s=0.1,
        debug=user.debug,
    )


def _locked(folder: Path) -> int:
    """Create the folder if needed and lock it; return the lock's file descriptor."""
    if folder.is_symlink() or not _is_ours(folder):
        msg = f"{folder} exists and was not created by `semloop demo`."
        raise LakeError(msg, "Rename it, or run the demo in another folder.")
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / MARKER, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        msg = f"Another demo is running in {folder}."
        raise LakeError(msg, "Wait until it ends, or use another folder.") from None
    os.pwrite(descriptor, MARKER_TEXT.encode(), 0)
    return descriptor


def _is_ours(folder: Path) -> bool:
    """Return True if the folder is missing, empty, or was created by a demo."""
    try:
        names = {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    marker = folder / MARKER
    if names <= {MARKER}:  # A demo killed at its start leaves an empty marker.
        return not names or marker.stat().st_size in {0, len(MARKER_TEXT)}
    return marker.is_file() and marker.read_bytes() == MARKER_TEXT.encode()


def _refuse_running(folder: Path) -> None:
    local = LocalFolder(folder / LOCAL_FOLDER)
    if not wait_until(lambda: not local.is_locked(), SHUTDOWN_S):
        msg = f"`semloop up` is running for the demo's lake {folder}."
        raise LakeError(msg, f"Stop it: SEMLOOP_LAKE={NAME} semloop down")
    for process in local.orphans():
        process.stop(STOP_S)
