"""The default model as the lake keeps it: made once, then the same bytes for everyone.

`_models/all-MiniLM-L6-v2.json` names the file and its SHA-256; the file's name holds
its sum too. The file is written first, so that the name is never there without it; of
several processes that make one at once, the first to write the name decides.
"""

import hashlib
import json
from typing import TYPE_CHECKING

from semloop.errors import LakeError

if TYPE_CHECKING:
    from semloop.storage.location import Storage

FOLDER = "_models"
NAME = "all-MiniLM-L6-v2"
# What says which model the lake has.
NOTE = f"{FOLDER}/{NAME}.json"
SUM_CHARS = 64


def kept_model(storage: "Storage") -> bytes:
    """The model of this lake, made and kept if it has none yet.

    Raises:
        MissingExtra: it has to be made and a package for that is not installed.
        LakeError: it is damaged, or the store refuses.
        StorageUnavailable: the store does not answer.
    """
    wanted = _sum(storage)
    if wanted is None:
        from semloop.embedders.quantise import quantised_model

        model = quantised_model()
        own = hashlib.sha256(model).hexdigest()
        storage.create(_file(own), model)
        content = json.dumps({"file": _file(own), "sha256": own}) + "\n"
        if storage.create(NOTE, content.encode()):
            return model
        wanted = _sum(storage)
    model_kept = storage.read(_file(wanted)) if wanted else None
    if model_kept is None:
        model_kept = _made_again(storage, wanted)
    if hashlib.sha256(model_kept).hexdigest() != wanted:
        msg = (
            f"{storage.root}/{_file(wanted or '')} is damaged: not what its name says."
        )
        raise LakeError(msg, "Delete it; the next program that needs it makes it anew.")
    return model_kept


def _made_again(storage: "Storage", wanted: str | None) -> bytes:
    """The file is gone: its like will do, but no other, as rows have its id."""
    from semloop.embedders.quantise import quantised_model

    model = quantised_model()
    if hashlib.sha256(model).hexdigest() != wanted:
        msg = f"The model {wanted} of the lake {storage.root} is gone, "
        msg += "and this program makes another one."
        todo = f"Restore it, or delete {NOTE} and reindex."
        raise LakeError(msg, todo)
    storage.create(_file(wanted), model)
    return model


def _file(digest: str) -> str:
    return f"{FOLDER}/{NAME}-{digest[:8]}.onnx"


def _sum(storage: "Storage") -> str | None:
    """SHA-256 of the lake's model; None if it has none."""
    data = storage.read(NOTE)
    if data is None:
        return None
    try:
        digest = json.loads(data)["sha256"]
    except (ValueError, TypeError, KeyError):
        digest = None
    if not isinstance(digest, str) or len(digest) != SUM_CHARS:
        msg = f"{storage.root}/{NOTE} does not say which model the lake has."
        raise LakeError(msg, "Delete it; the next program that needs it makes it anew.")
    return digest
