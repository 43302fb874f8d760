"""Finds the stack of `semloop up` to which an agent without a setting sends.

An agent must not send to a server only because it listens on the usual port: it may be
another user's, or that of another project. So it sends to a stack that runs for its
folder or for one above it, and compares the topic id with that of the stack.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from semloop.local.identity import LAKE_FILE
from semloop.local.stack_file import STACK_FILE, LocalStack, running_stack_in
from semloop.settings import DEFAULT_LAKE, LOCAL_FOLDER, Settings


def nearest_lake(settings: Settings) -> Path:
    """Return the lake whose stack an agent sends to, whether it runs or not.

    A lake that is set is the only one. The default is that of the current folder or,
    if no stack was ever started there, of the nearest folder above it with one, up to
    the repository or the home folder.
    """
    lake = Path(settings.lake)
    try:
        is_default = lake == Path(DEFAULT_LAKE).absolute()
    except OSError:  # the current folder was removed
        return lake
    if settings.on_s3 or not is_default:
        return lake
    for folder in _searched(lake.parent):
        local = folder / DEFAULT_LAKE / LOCAL_FOLDER
        if any(_own_file(local / name) is not None for name in (STACK_FILE, LAKE_FILE)):
            return folder / DEFAULT_LAKE
    return lake


def local_stack(lake: Path) -> LocalStack | None:
    """Return the stack of a lake; None if none that this user started runs for it."""
    content = _own_file(lake / LOCAL_FOLDER / STACK_FILE)
    return None if content is None else running_stack_in(lake / LOCAL_FOLDER, content)


def _searched(folder: Path) -> Iterator[Path]:
    """Yield a folder and those above it, up to the repository or the home folder."""
    ends = {Path(folder.anchor), Path(os.path.expanduser("~"))}
    while True:
        yield folder
        if folder in ends or _exists(folder / ".git"):
            return
        folder = folder.parent


def _own_file(path: Path) -> bytes | None:
    """Return the content of a file, or None if it is not a file of this user."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not block
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            info = os.fstat(file.fileno())
            is_own = stat.S_ISREG(info.st_mode) and info.st_uid == os.getuid()
            return file.read() if is_own else None
    except OSError:
        return None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder above it cannot be searched
        return False
