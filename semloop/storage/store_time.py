"""Times of files by the clock of the storage; the machine's own clock may be wrong."""

import os
import secrets
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from semloop.errors import SemLoopError
from semloop.storage.errors import translate
from semloop.storage.listing import PROBE, remove_files
from semloop.storage.location import Storage


def now(storage: Storage) -> datetime:
    """Return the present time of the storage: that of a file that this call writes.

    Nothing of it remains.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    name = f"{PROBE}{secrets.token_hex(6)}"
    try:
        storage.replace(name, b"")
        return written_at(storage, name)
    except OSError as error:
        raise translate(storage, f"write {name}", error) from error
    finally:
        with suppress(SemLoopError):  # `doctor --fix` finds it
            remove_files(storage, [name])


def agreed_date(storage: Storage) -> date:
    """Return the date, by the clock of the storage or of this machine.

    The earlier one: a clock that is ahead must not remove rows.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    return min(now(storage), datetime.now(UTC)).date()


def age(storage: Storage, name: str, at: datetime) -> timedelta | None:
    """Return the age of a file at a time of the storage; None if it does not exist.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    try:
        return at - written_at(storage, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translate(storage, f"read {name}", error) from error


def written_at(storage: Storage, name: str) -> datetime:
    """Return when a file was written, by the storage.

    Raises:
        FileNotFoundError: it does not exist. OSError: the storage refuses.
    """
    if storage.on_s3:
        return storage.objects.written_at(name)
    return datetime.fromtimestamp(os.stat(Path(storage.root, name)).st_mtime, UTC)
