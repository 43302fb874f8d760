"""Binds a lake to the layout of its tables.

The first writer puts a small file into the lake; programs that know another layout
refuse the lake, rather than write what the others cannot read.
"""

import json
from typing import TYPE_CHECKING

from semloop import tables
from semloop.errors import LakeError

if TYPE_CHECKING:
    from semloop.storage import Storage

LAYOUT_FILE = "_layout.json"
# Of a lake with tables that were made before there was such a file.
FIRST_LAYOUT = 1


def check(storage: "Storage") -> None:
    """Refuse a lake of another layout; writes nothing.

    Raises:
        LakeError: it has another layout, or the store refuses.
        StorageUnavailable: the store does not answer.
    """
    found = _read(storage)
    # An empty lake may be of any layout; looking for tables costs time.
    if found is None and tables.LAYOUT_VERSION != FIRST_LAYOUT and _written(storage):
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
        layout = FIRST_LAYOUT if _written(storage) else tables.LAYOUT_VERSION
        storage.create(LAYOUT_FILE, _content(layout))
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
        todo = f'Write {{"layout": {FIRST_LAYOUT}}} there, if it was made by SemLoop.'
        raise LakeError(msg, todo)
    return layout


def _written(storage: "Storage") -> bool:
    from deltalake.exceptions import DeltaError

    try:
        return any(storage.has(table) for table in tables.TABLES)
    except (DeltaError, OSError) as error:
        raise storage.trouble(error) from error


def _refuse_other(storage: "Storage", found: int) -> None:
    known = tables.LAYOUT_VERSION
    if found == known:
        return
    msg = f"The lake {storage.root} has layout {found}; this program knows {known}."
    newer = "Install a newer semloop" if found > known else "Use an older semloop"
    raise LakeError(msg, f"{newer}, or set SEMLOOP_LAKE to another lake.")
