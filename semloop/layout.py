"""Binds a lake to the layout of its tables.

The first writer stores the layout version in a small file in the lake. A program with
another layout version refuses the lake, so it never writes files that others cannot
read.
"""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from semloop import tables
from semloop.errors import LakeError

if TYPE_CHECKING:
    from semloop.storage.location import Storage

LAYOUT_FILE = "_layout.json"
# Lakes of layout 1 have no layout file; only they have this table.
FIRST_LAYOUT = 1
FIRST_LAYOUT_TABLE = "logs"


def check(storage: "Storage") -> None:
    """Refuse a lake of another layout, without writing to it.

    Raises:
        LakeError: the lake has another layout, or the store refuses the request.
        StorageUnavailable: the store does not answer.
    """
    found = _read(storage)
    if found is None and _has_first_layout(storage):
        found = FIRST_LAYOUT
    if found is not None:
        _refuse_other(storage, found)


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
    """Bind the lake to this program's layout, unless it is already bound.

    If several writers start at the same time, the first one to create the file wins.
    On S3 this also checks that the store refuses a second conditional PUT of the same
    file, which every commit relies on.

    Raises:
        LakeError: the lake has another layout, the store refuses the request, or the
            store lacks conditional PUT.
        StorageUnavailable: the store does not answer.
    """
    found = _read(storage)
    if found is None:
        if _has_first_layout(storage):
            _refuse_other(storage, FIRST_LAYOUT)
        storage.create(LAYOUT_FILE, _content(tables.LAYOUT_VERSION))
        found = _read(storage)
    if found is None:
        msg = f"{LAYOUT_FILE} was written to {storage.root}, but cannot be read."
        raise LakeError(msg, "Use a store with read-after-write consistency.")
    _refuse_other(storage, found)
    # The same content, so a store that fails this check is left unchanged.
    if storage.on_s3 and storage.create(LAYOUT_FILE, _content(found)):
        msg = f"The object store {storage.endpoint} ignores `If-None-Match`: writers "
        msg += "would overwrite each other's commits."
        raise LakeError(msg, "Use a store with conditional PUT: Amazon S3, MinIO, ...")


def _content(layout: int) -> bytes:
    return json.dumps({"layout": layout}).encode() + b"\n"


def _read(storage: "Storage") -> int | None:
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


def _has_first_layout(storage: "Storage") -> bool:
    return storage.has(FIRST_LAYOUT_TABLE, f"read {LAYOUT_FILE}")


def _refuse_other(storage: "Storage", found: int) -> None:
    own = tables.LAYOUT_VERSION
    if found == own:
        return
    msg = f"The lake {storage.root} has layout {found}; this program supports {own}."
    if found > own:
        todo = "Install a newer semloop, or set SEMLOOP_LAKE to another lake."
    else:
        todo = f"Layout {found} cannot be migrated: set SEMLOOP_LAKE to another lake."
    raise LakeError(msg, todo)
