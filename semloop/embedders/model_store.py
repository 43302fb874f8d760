"""The default model as stored in the lake: built once, then used by all processes.

The manifest `_models/all-MiniLM-L6-v2.json` has the model file's name and SHA-256; the
name contains the start of the hash. The model file is written before the manifest. If
several processes build a model at the same time, the first to write the manifest wins.
"""

import hashlib
import json
from typing import TYPE_CHECKING

from semloop.errors import LakeError

if TYPE_CHECKING:
    from semloop.storage.location import Storage

FOLDER = "_models"
NAME = "all-MiniLM-L6-v2"
MANIFEST = f"{FOLDER}/{NAME}.json"
DIGEST_CHARS = 64
REBUILD = "Delete it; the next program that needs the model builds it again."


def stored_model(storage: "Storage") -> bytes:
    """Return the model of this lake; build and store it if the lake has none.

    Raises:
        MissingExtra: the model must be built and a package for that is not installed.
        LakeError: the model is damaged, or the storage refuses.
        StorageUnavailable: the storage is not available.
    """
    digest = _manifest_digest(storage)
    if digest is None:
        from semloop.embedders.quantise import quantised_model

        built = quantised_model()
        own_digest = hashlib.sha256(built).hexdigest()
        file = _file(own_digest)
        storage.create(file, built)
        content = json.dumps({"file": file, "sha256": own_digest}) + "\n"
        if storage.create(MANIFEST, content.encode()):
            return built
        digest = _manifest_digest(storage)
    model = storage.read(_file(digest)) if digest else None
    if model is None:
        model = _rebuild(storage, digest)
    if hashlib.sha256(model).hexdigest() != digest:
        msg = f"{storage.root}/{_file(digest or '')} is damaged: its SHA-256 does not "
        msg += f"match {MANIFEST}."
        raise LakeError(msg, REBUILD)
    return model


def _rebuild(storage: "Storage", digest: str | None) -> bytes:
    """Replace a missing model file; only by equal bytes, since rows have its id."""
    from semloop.embedders.quantise import quantised_model

    model = quantised_model()
    if hashlib.sha256(model).hexdigest() != digest:
        msg = f"The model {digest} of the lake {storage.root} is missing, "
        msg += "and this program builds a different one."
        todo = f"Restore it, or delete {MANIFEST} and run `semloop maintain reindex`."
        raise LakeError(msg, todo)
    storage.create(_file(digest), model)
    return model


def _file(digest: str) -> str:
    return f"{FOLDER}/{NAME}-{digest[:8]}.onnx"


def _manifest_digest(storage: "Storage") -> str | None:
    """Return the SHA-256 of the lake's model; None if the lake has no model."""
    data = storage.read(MANIFEST)
    if data is None:
        return None
    try:
        digest = json.loads(data)["sha256"]
    except (ValueError, TypeError, KeyError):
        digest = None
    if not isinstance(digest, str) or len(digest) != DIGEST_CHARS:
        msg = f"{storage.root}/{MANIFEST} does not contain the SHA-256 of a model."
        raise LakeError(msg, REBUILD)
    return digest
