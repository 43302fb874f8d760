"""The file with the redaction keys of a local lake, one a line, the newest first."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semloop.errors import LakeError
from semloop.settings import LOCAL_FOLDER, Secret
from semloop.storage.local_files import create_exclusive, replace_unchanged
from semloop.storage.location import Storage

KEY_FILE = "redaction.key"


def key_file(storage: Storage) -> Path:
    """Return the path of the key file of a local lake; it may not exist."""
    return Path(storage.root) / LOCAL_FOLDER / KEY_FILE


def own_keys(storage: Storage) -> list[Secret]:
    """Return the keys in the lake's own file, the newest first.

    Returns:
        an empty list if there is no such file; a lake on S3 has none.

    Raises:
        LakeError: the file cannot be read.
    """
    if storage.on_s3:
        return []
    path = key_file(storage)
    with _key_errors(path):
        try:
            return _parsed(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return []


def put_new_key_first(storage: Storage, known: list[Secret]) -> Secret:
    """Make the first key of the file a new one, and keep the others.

    Of two processes that make the first file, one creates it. A first key that is not
    `known` is one that an interrupted call has put there.

    Raises:
        LakeError: the file cannot be changed.
    """
    storage.local_folder()
    path = key_file(storage)
    with _key_errors(path):
        hide_from_git(path.parent)
        while True:
            create_exclusive(path, _new_key().encode(), 0o600)
            content = path.read_bytes()
            first = _parsed(content.decode())[0]
            if first not in known:
                return first
            replace_unchanged(path, content, _new_key().encode() + b"\n" + content)


def hide_from_git(folder: Path) -> None:
    """Write a `.gitignore` for everything in a folder, unless it has one.

    Raises:
        OSError: the file system refuses.
    """
    if not (folder / ".gitignore").exists():
        create_exclusive(folder / ".gitignore", b"*\n", 0o644)


def _new_key() -> str:
    return secrets.token_hex(32)


def _parsed(text: str) -> list[Secret]:
    """An empty file is an empty key, which is too short, and not a missing one."""
    return [Secret(line.strip()) for line in text.strip().split("\n")]


@contextmanager
def _key_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        msg = f"The key {path} can be neither read nor created: {exc.strerror}."
        todo = "Check disk space and permissions, or set SEMLOOP_REDACTION_KEY."
        raise LakeError(msg, todo) from None
