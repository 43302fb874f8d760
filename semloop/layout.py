"""Binds a lake to the layout of its tables.

The first writer puts a small file into the lake; programs that know another layout
refuse the lake, rather than write what the others cannot read.
"""

import json
from typing import TYPE_CHECKING

from semloop import tables
from semloop.errors import LakeError

if TYPE_CHECKING:
    from semloop.storage.location import Storage

LAYOUT_FILE = "_layout.json"
# The layout of lakes that are older than this file: only they have this table.
FIRST_LAYOUT = 1
FIRST_LAYOUT_TABLE = "logs"


def check(storage: "Storage") -> None:
    """Refuse a lake of another layout; writes nothing.

    Raises:
        LakeError: it has another layout, or the store refuses.
        StorageUnavailable: the store does not answer.
    """
    found = _read(storage)
    if found is None and _has_first_layout(storage):
        found = FIRST_LAYOUT
    if found is not None:
        _refuse_other(storage, found)


def bind(storage: "Storage") -> None:
    """Bind the lake to this program's layout, unless it is bound already.

    Of several writers that start at once one decides. On S3 this is also the probe that
    the store refuses a second PUT of the same file, on which every commit relies.

    Raises:
        LakeError: it has another layout, or the store refuses or cannot do that.
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
        raise LakeError(msg, "Use a store that shows at once what was written.")
    _refuse_other(storage, found)
    # The same content: on a store that fails the probe nothing is changed either.
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
        msg = f"{storage.root}/{LAYOUT_FILE} does not say which layout the lake has."
        content = _content(tables.LAYOUT_VERSION).decode().strip()
        todo = f"Write {content} there, if it was made by SemLoop."
        raise LakeError(msg, todo)
    return layout


def _has_first_layout(storage: "Storage") -> bool:
    return storage.has(FIRST_LAYOUT_TABLE, f"read {LAYOUT_FILE}")


def _refuse_other(storage: "Storage", found: int) -> None:
    known = tables.LAYOUT_VERSION
    if found == known:
        return
    msg = f"The lake {storage.root} has layout {found}; this program knows {known}."
    if found > known:
        todo = "Install a newer semloop, or set SEMLOOP_LAKE to another lake."
    else:
        todo = f"Layout {found} is not migrated: set SEMLOOP_LAKE to another lake."
    raise LakeError(msg, todo)
