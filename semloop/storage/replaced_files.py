"""Replacement of a small file of the lake by one of several concurrent processes."""

from dataclasses import dataclass
from pathlib import Path

from semloop.errors import LakeError
from semloop.storage.errors import translate
from semloop.storage.local_files import replace_unchanged
from semloop.storage.location import Storage

# No object has this ETag.
NO_ETAG = f'"{"0" * 32}"'


@dataclass(frozen=True)
class Seen:
    """Content of a file when it was read, and its ETag; empty for a local file."""

    data: bytes
    etag: str = ""


def read_seen(storage: Storage, name: str) -> Seen | None:
    """Read a file that is to be replaced; None if it does not exist.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    if not storage.on_s3:
        data = storage.read(name)
        return None if data is None else Seen(data)
    try:
        return Seen(*storage.objects.read_tagged(name))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translate(storage, f"read {name}", error) from error


def replace(storage: Storage, name: str, seen: Seen, data: bytes) -> bool:
    """Replace a file atomically, unless it has changed since it was read.

    Returns:
        True if this call replaced it. False if the file has changed; after a lost
        reply of an object store it may have been changed by this call.

    Raises:
        LakeError: the storage refuses, or has no conditional PUT.
        StorageUnavailable: it does not answer.
    """
    try:
        if not storage.on_s3:
            return replace_unchanged(Path(storage.root, name), seen.data, data)
        # The same content, so a store that fails this check is left unchanged.
        if _put(storage, name, seen.data, NO_ETAG):
            msg = f"The object store {storage.endpoint} ignores `If-Match`: writers "
            msg += "would overwrite each other's changes."
            raise LakeError(msg, "Use a store with conditional PUT of known objects.")
        return _put(storage, name, data, seen.etag)
    except OSError as error:
        raise translate(storage, f"replace {name}", error) from error


def _put(storage: Storage, name: str, data: bytes, etag: str) -> bool:
    try:
        storage.objects.put(name, data, replaces=etag)
    except FileExistsError:
        return False
    return True
