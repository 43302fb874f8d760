"""How others find a running stack: files in its lake, and marks on its processes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from semloop.command.stack.state import LocalFolder, Stack
from semloop.local.held_folder import HeldFolder
from semloop.local.identity import LakeIdentity
from semloop.local.lock import StackLock
from semloop.local.marks import mark
from semloop.settings import PREFIX, Settings

KEEP_S = 1.0
# Looks in a row that must find the lake gone: an automounter, a network file system or
# a link that is replaced may hide it for a moment. All of them take a tenth of a
# second, since meanwhile a flow may write at the former place.
LOOKS = 5
LOOK_AGAIN_S = 0.02


class Presence:
    """The files and marks of one running stack."""

    def __init__(self, folder: LocalFolder, report: Callable[[str], None]) -> None:
        """Hold the folder, so that it is recognized when it is moved; write nothing.

        Args:
            folder: of the lake.
            report: logs a line.
        """
        self._folder = folder
        self._report = report
        self._held = HeldFolder(folder.path)
        self._lock: StackLock | None = None
        self._written: Stack | None = None
        self._kept_s = 0.0

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Have the lock for the block; yield False if another supervisor has it."""
        with self._folder.lock() as self._lock:
            yield self._lock is not None

    @property
    def lake(self) -> LakeIdentity:
        """The lake, at the place where the stack was started; within `locked`."""
        assert self._lock is not None
        return self._lock.lake

    def has_left(self) -> bool:
        """Return True if the lake is not in its place, `LOOKS` times in a row."""
        for look in range(LOOKS):
            if look:
                time.sleep(LOOK_AGAIN_S)
            if self._held.is_in_place():
                return False
        return True

    def present_path(self) -> Path | None:
        """Return where the folder is now; None if it was deleted or it is not known."""
        return self._held.present_path()

    def environ(self, name: str, kafka: str, settings: Settings) -> dict[str, str]:
        """Return the variables of a process: its mark, lake, broker and topic."""
        return {
            **mark(self.lake.id, name),
            f"{PREFIX}LAKE": settings.lake,
            f"{PREFIX}KAFKA": kafka,
            f"{PREFIX}TOPIC": settings.topic,
        }

    def write(self, stack: Stack) -> None:
        """Replace `stack.json`."""
        self._written = stack
        if not self._held.is_in_place():
            return  # `keep` writes it if the lake comes back
        try:
            self._folder.write(stack)
        except OSError as error:
            # Not fatal: `keep` writes the file again.
            self._report(f"stack.json cannot be written: {error.strerror}")

    def keep(self) -> None:
        """Write the files again that were removed or changed, once a second."""
        if time.monotonic() - self._kept_s < KEEP_S:
            return
        self._kept_s = time.monotonic()
        try:
            if self._lock is not None:
                self._lock.keep()
        except OSError as error:
            self._report(f"The lock cannot be kept: {error.strerror}")
        if self._written is not None and self._folder.read() != self._written:
            self.write(self._written)

    def clear(self) -> None:
        """Remove `stack.json`, unless the folder is another one by now."""
        if self._held.is_in_place():
            self._folder.clear()
