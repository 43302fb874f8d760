"""Finds the stack of `semloop up` to which an agent without a setting sends.

An agent must not send to a server only because it listens on the usual port: it may be
another user's, or that of another project. So it sends to a stack that runs for its
folder or for one above it, and compares the topic id with that of the stack.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from semloop.kafka.local_broker import STACK_FILE
from semloop.settings import DEFAULT_LAKE, LOCAL_FOLDER, Settings


class LocalStack(msgspec.Struct, frozen=True):
    """What an agent reads of `stack.json`.

    `topic_id`: None until the topic exists.
    """

    kafka: str
    topic: str
    topic_id: str | None = None


# Prepared while importing: msgspec crashes if a signal handler interrupts that.
_stack_of = msgspec.json.Decoder(LocalStack).decode


def nearest_lake(settings: Settings) -> Path:
    """Return the lake whose stack an agent sends to, whether it runs or not.

    A lake that is set is the only one. The default is that of the current folder or,
    without a stack there, of the nearest folder above it that has one, up to the
    repository or the home folder.
    """
    lake = Path(settings.lake)
    try:
        is_default = lake == Path(DEFAULT_LAKE).absolute()
    except OSError:  # the current folder was removed
        return lake
    if settings.on_s3 or not is_default:
        return lake
    for folder in _searched(lake.parent):
        if _own_file(folder / DEFAULT_LAKE / LOCAL_FOLDER / STACK_FILE) is not None:
            return folder / DEFAULT_LAKE
    return lake


def local_stack(lake: Path) -> LocalStack | None:
    """Return the stack of a lake; None if none was started by this user."""
    content = _own_file(lake / LOCAL_FOLDER / STACK_FILE)
    try:
        return None if content is None else _stack_of(content)
    except msgspec.MsgspecError:
        return None


def _searched(folder: Path) -> Iterator[Path]:
    """Yield a folder and those above it, up to the repository or the home folder."""
    ends = {Path(folder.anchor), Path(os.path.expanduser("~"))}
    while True:
        yield folder
        if folder in ends or (folder / ".git").exists():
            return
        folder = folder.parent


def _own_file(path: Path) -> bytes | None:
    """Return the content of a file, or None if it is not a file of this user."""
    try:
        with path.open("rb") as file:
            info: Any = os.fstat(file.fileno())
            return file.read() if info.st_uid == os.getuid() else None
    except OSError:
        return None
