"""What the broker knows in addition to its logs, in `state.json`."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

STATE_FILE = "state.json"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# An offset that no record has: the group has committed nothing.
NOTHING = -1
GROUPS_MAX = 1_000


class Groups:
    """Offsets that consumer groups committed: group -> topic -> partition -> offset."""

    def __init__(
        self, offsets: dict[str, dict[str, dict[str, int]]], kept: str
    ) -> None:
        """Start with known offsets; never forget the group `kept`."""
        self.offsets = offsets
        self._kept = kept

    def offset(self, group: str, topic: str, partition: int) -> int:
        """Return the offset that the group reads next; `NOTHING` if it never did."""
        found = self.offsets.get(group, {}).get(topic, {})
        return found.get(str(partition), NOTHING)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Store the offset that a group reads next; of too many groups, forget one."""
        if group not in self.offsets and len(self.offsets) >= GROUPS_MAX:
            self.offsets.pop(next(each for each in self.offsets if each != self._kept))
        self.offsets.setdefault(group, {}).setdefault(topic, {})[str(partition)] = (
            offset
        )

    def without(self, topic: str) -> "Groups":
        """Return the offsets of all other topics."""
        return Groups(
            {
                group: {name: at for name, at in topics.items() if name != topic}
                for group, topics in self.offsets.items()
            },
            self._kept,
        )


@dataclass
class State:
    """Content of `state.json`.

    Attributes:
        clean: True if the broker ended after everything was on disk.
        boot_id, inode: of the machine and the folder when this was written.
        topics: name -> id, config and, by partition, oldest and next offset.
        groups: as in `Groups`.
        synced: file -> bytes that are on disk.
    """

    clean: bool = True
    boot_id: str = ""
    inode: int = 0
    topics: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    synced: dict[str, int] = field(default_factory=dict)

    def is_of_this_boot(self) -> bool:
        """Return True unless the machine was started again since; then pages are lost.

        True where the system does not say: what was written then counts as stored.
        """
        return self.boot_id == boot_id()

    def is_of(self, folder: int) -> bool:
        """Return True if the folder is certainly the one that this was written in."""
        return bool(self.boot_id) and self.inode == os.fstat(folder).st_ino


def boot_id() -> str:
    """Return the id of this boot of the machine; empty if the system has none."""
    with suppress(OSError):
        return BOOT_ID.read_text().strip()
    return ""


def read_state(folder: int) -> State | None:
    """Return the state; None if the folder is new.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        file = os.open(STATE_FILE, os.O_RDONLY, dir_fd=folder)
    except FileNotFoundError:
        return None
    with open(file, "rb") as content:
        found = json.load(content)
    if not isinstance(found, dict):
        raise ValueError(STATE_FILE)
    # A later version may have added something.
    known = {each.name for each in fields(State)}
    state = State(**{name: value for name, value in found.items() if name in known})
    for each in (state.topics, state.groups, state.synced):
        if not isinstance(each, dict):
            raise ValueError(STATE_FILE)
    return state


def write_state(folder: int, state: State) -> None:
    """Replace the state, so that after a crash it is the old or the new one."""
    draft = f"{STATE_FILE}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(draft, flags, 0o600, dir_fd=folder), "w") as content:
        json.dump(asdict(state), content)
        content.flush()
        os.fsync(content.fileno())
    os.replace(draft, STATE_FILE, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
