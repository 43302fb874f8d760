"""Binds a lake to the layout of its tables.

The first writer stores the layout's number in a small file in the lake. A program
refuses a lake whose number is larger than its own: it would misread or damage it. A
lake with a smaller number is read and written as it is, and stays usable for older
programs, until `semloop maintain upgrade` raises the number. docs/adr/0020 says what
needs a new number.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from semloop import tables
from semloop.errors import LakeError
from semloop.storage.errors import storage_errors
from semloop.tables import LAYOUT_FILE

if TYPE_CHECKING:
    from semloop.storage.location import Storage

# Oldest layout that this program reads and writes. Since 3, files are merged: an older
# `archive` would not find all recent ids in merged ones, and store events twice.
OLDEST_USABLE = 2
UPGRADE = "Restart all flows with this version, then run `semloop maintain upgrade`."
# Lakes of layout 1 have no layout file; only they have this table.
FIRST_LAYOUT = 1
FIRST_LAYOUT_TABLE = "logs"


def require_lake(storage: "Storage") -> None:
    """Refuse a folder that does not exist; any prefix on S3 does.

    Raises:
        LakeError: there is no folder.
    """
    if not storage.on_s3 and not Path(storage.root).is_dir():
        msg = f"There is no lake at {storage.root}."
        raise LakeError(msg, "Start one with `semloop up`, or set SEMLOOP_LAKE.")


def require_stored_lake(storage: "Storage") -> None:
    """Refuse a folder that does not exist, and a prefix on S3 without objects.

    Raises:
        LakeError: nothing is there, or the store refuses.
        StorageUnavailable: the store does not answer.
    """
    require_lake(storage)
    if storage.on_s3 and stored(storage) is None:
        with storage_errors(storage, "list the lake"):
            is_empty = next(storage.objects.below(""), None) is None
        if is_empty:
            msg = f"There is no lake at {storage.root}: nothing is stored there."
            todo = "Set SEMLOOP_LAKE to the prefix of the lake."
            raise LakeError(msg, todo)


def check(storage: "Storage") -> int | None:
    """Refuse a lake whose layout this program does not support; writes nothing.

    Returns:
        The number of the layout; None if the lake has none yet.

    Raises:
        LakeError: the layout is not supported, or the store refuses the request.
        StorageUnavailable: the store does not answer.
    """
    found = stored(storage)
    if found is None and _has_first_layout(storage):
        found = FIRST_LAYOUT
    if found is not None:
        _refuse_unsupported(storage, found)
    return found


def require_current(storage: "Storage") -> None:
    """Refuse a lake that has to be upgraded first, without writing to it.

    Raises:
        LakeError, StorageUnavailable: as `check`; also for a supported older layout.
    """
    found, needed = check(storage), tables.LAYOUT_VERSION
    if found not in {None, needed}:
        msg = f"The lake {storage.root} has layout {found}; this needs layout {needed}."
        raise LakeError(msg, UPGRADE)


def is_older(storage: "Storage") -> bool:
    """Return True if the lake has a layout before this program's.

    Raises:
        LakeError, StorageUnavailable: the number cannot be read.
    """
    found = stored(storage)
    return found is not None and found < tables.LAYOUT_VERSION


def set_current(storage: "Storage") -> None:
    """Give a lake of an older layout the number of this program.

    Raises:
        LakeError: the store refuses. StorageUnavailable: it does not answer.
    """
    check(storage)
    if is_older(storage):
        with storage_errors(storage, f"write {LAYOUT_FILE}"):
            storage.replace(LAYOUT_FILE, _content(tables.LAYOUT_VERSION))


def check_columns(table: str, found: Iterable[str]) -> None:
    """Refuse columns that this program does not know: it would not copy their values.

    Args:
        table: name of one of `tables.TABLES`.
        found: columns of the table or of a file.

    Raises:
        LakeError: a newer program, or a foreign one, has added a column.
    """
    unknown = sorted(set(found) - set(tables.TABLES[table].columns))
    if unknown:
        msg = f"Table {table} has a column that this program does not know: "
        raise LakeError(msg + f"{unknown[0]}.", "Install a newer semloop.")


def bind(storage: "Storage") -> None:
    """Bind a new lake to this program's layout; another lake keeps its own.

    If several writers start at the same time, the first one to create the file wins.
    On S3 this also checks that the store refuses a second conditional PUT of the same
    file, which every commit relies on.

    Raises:
        LakeError: the layout is not supported, the store refuses the request, or the
            store lacks conditional PUT.
        StorageUnavailable: the store does not answer.
    """
    found = stored(storage)
    if found is None:
        if _has_first_layout(storage):
            _refuse_unsupported(storage, FIRST_LAYOUT)
        storage.create(LAYOUT_FILE, _content(tables.LAYOUT_VERSION))
        found = stored(storage)
    if found is None:
        msg = f"{LAYOUT_FILE} was written to {storage.root}, but cannot be read."
        raise LakeError(msg, "Use a store with read-after-write consistency.")
    _refuse_unsupported(storage, found)
    # The same content, so a store that fails this check is left unchanged.
    if storage.on_s3 and storage.create(LAYOUT_FILE, _content(found)):
        msg = f"The object store {storage.endpoint} ignores `If-None-Match`: writers "
        msg += "would overwrite each other's commits."
        raise LakeError(msg, "Use a store with conditional PUT: Amazon S3, MinIO, ...")


def stored(storage: "Storage") -> int | None:
    """Return the layout's number; None if the lake has none yet.

    Raises:
        LakeError: the file has no number, or the store refuses.
        StorageUnavailable: the store does not answer.
    """
    data = storage.read(LAYOUT_FILE)
    if data is None:
        return None
    try:
        layout = json.loads(data)["layout"]
    except (ValueError, TypeError, KeyError):
        layout = None
    if not isinstance(layout, int):
        msg = f"{storage.root}/{LAYOUT_FILE} contains no layout version."
        content = _content(tables.LAYOUT_VERSION).decode().strip()
        todo = f"If SemLoop created this lake, replace the content with {content}."
        raise LakeError(msg, todo)
    return layout


def _content(layout: int) -> bytes:
    return json.dumps({"layout": layout}).encode() + b"\n"


def _has_first_layout(storage: "Storage") -> bool:
    return storage.has(FIRST_LAYOUT_TABLE, f"read {LAYOUT_FILE}")


def _refuse_unsupported(storage: "Storage", found: int) -> None:
    own = tables.LAYOUT_VERSION
    if OLDEST_USABLE <= found <= own:
        return
    msg = f"The lake {storage.root} has layout {found}; this program supports "
    msg += f"{OLDEST_USABLE} to {own}."
    if found > own:
        todo = "Install a newer semloop, or set SEMLOOP_LAKE to another lake."
    else:
        todo = f"Layout {found} cannot be upgraded: set SEMLOOP_LAKE to another lake."
    raise LakeError(msg, todo)
