"""Times of files by the clock of the storage; the machine's own clock may be wrong."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from semloop.storage.errors import translate
from semloop.storage.location import Storage

# Written to read the clock; its content does not matter.
CLOCK = "_maintenance/clock"


def now(storage: Storage) -> datetime:
    """Return the present time of the storage.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    try:
        storage.replace(CLOCK, b"")
        return _written_at(storage, CLOCK)
    except OSError as error:
        raise translate(storage, f"write {CLOCK}", error) from error


def age(storage: Storage, name: str, at: datetime) -> timedelta | None:
    """Return the age of a file at a time of the storage; None if it does not exist.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    try:
        return at - _written_at(storage, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translate(storage, f"read {name}", error) from error


def _written_at(storage: Storage, name: str) -> datetime:
    if storage.on_s3:
        return storage.objects.written_at(name)
    return datetime.fromtimestamp(os.stat(Path(storage.root, name)).st_mtime, UTC)
