"""Which lake a stack was started for: a random id, and the place of the folder.

A copy of a lake has the same files as the original, pids and addresses included. So
the files of a stack name its lake by id, path and inode. A folder is this lake only if
it is at this place: a copy has another inode, a moved folder another path. A path
through links or a second mount of the same folder leads to the same inode.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

from semloop.settings import LOCAL_FOLDER

LAKE_FILE = "lake.json"


class LakeIdentity(msgspec.Struct, frozen=True):
    """A lake at the place where its stack was started.

    id: random; the processes of the stack have it in their environment.
    path: the lake, without links.
    device, inode: of its folder `_local`.
    """

    id: str
    path: str
    device: int
    inode: int

    @classmethod
    def new(cls, local: Path) -> Self:
        """Return an identity of the lake with this folder `_local`.

        Raises:
            OSError: the folder cannot be read.
        """
        info = local.stat()
        path = os.path.realpath(local.parent)
        return cls(os.urandom(8).hex(), path, info.st_dev, info.st_ino)

    def is_here(self, local: Path) -> bool:
        """Return True if `local` is the folder `_local` of this lake in its place."""
        return self.has_folder(local) and self.has_folder(self._local)

    def has_folder(self, local: Path) -> bool:
        """Return True if `local` is the folder `_local` of this lake, even if moved."""
        try:
            info = local.stat()
        except OSError:
            return False
        return (info.st_dev, info.st_ino) == (self.device, self.inode)

    def difference(self, local: Path) -> str:
        """Return how this lake became the one in the folder `local`, "" if it did not.

        Args:
            local: a folder with the files of this lake.
        """
        if self.is_here(local) or self.path == os.path.realpath(local.parent):
            return ""
        if self.has_folder(local):
            return f"it was moved here from {self.path}"
        if self._local.exists():
            return f"it is a copy of {self.path}"
        return f"it was copied or moved here from {self.path}, which is gone"

    @property
    def _local(self) -> Path:
        return Path(self.path, LOCAL_FOLDER)


# Prepared while importing: msgspec crashes if a signal handler interrupts that.
_identity_of = msgspec.json.Decoder(LakeIdentity).decode


def read_identity(local: Path) -> LakeIdentity | None:
    """Return the identity in the folder, perhaps that of the lake it was copied from.

    None if the file is missing or invalid.
    """
    try:
        return _identity_of((local / LAKE_FILE).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None


def is_of(identity: LakeIdentity, local: Path) -> bool:
    """Return True if something with this identity belongs to the lake in the folder."""
    if not identity.is_here(local):
        return False
    # The file may be missing; if it is there, it decides between a lake and what was
    # put in its place.
    own = read_identity(local)
    return own is None or not own.is_here(local) or own.id == identity.id


def bind(local: Path, known: Iterable[LakeIdentity | None] = ()) -> LakeIdentity:
    """Give the lake an identity of its own, unless it has one; for the lock's owner.

    Args:
        local: its folder `_local`.
        known: identities in other files, for a lake whose own file is lost.

    Raises:
        OSError: the file cannot be written.
    """
    own = read_identity(local)
    if own is not None and own.is_here(local):
        return own
    found = next((other for other in known if other and other.is_here(local)), None)
    identity = found or LakeIdentity.new(local)
    # Replaced, not changed: the file may be a hard link to that of another lake.
    draft = local / f"{LAKE_FILE}.part"
    draft.unlink(missing_ok=True)
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(identity)) + b"\n")
    draft.replace(local / LAKE_FILE)
    return identity
