"""Lists the files of a lake with their sizes and times, and removes some of them."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from semloop.storage.errors import translate
from semloop.storage.location import Storage
from semloop.storage.stored_file import StoredFile

# Start of the names of files that only test the storage.
PROBE = "_doctor-"


def stored_files(storage: Storage, folder: str) -> Iterator[StoredFile]:
    """Yield the files below a folder of the lake, as far as it exists; no links.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    try:
        if storage.on_s3:
            yield from storage.objects.below(folder)
        else:
            yield from _below(Path(storage.root), folder)
    except OSError as error:
        raise translate(storage, f"list {folder}", error) from error


def top_files(storage: Storage) -> list[StoredFile]:
    """Return the files directly in the lake.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    try:
        if storage.on_s3:
            return list(storage.objects.at_top())
        root = Path(storage.root)
        return [found for path in root.iterdir() if (found := _file(root, path))]
    except OSError as error:
        raise translate(storage, "list the lake", error) from error


def remove_files(storage: Storage, names: Iterable[str]) -> int:
    """Remove files of the lake; return how many there were (on S3: of all names).

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    if storage.on_s3:
        listed = list(names)
        try:
            storage.objects.remove(listed)
        except OSError as error:
            raise translate(storage, "remove objects", error) from error
        return len(listed)
    count = 0
    for name in names:
        try:
            Path(storage.root, name).unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise translate(storage, f"remove {name}", error) from error
        count += 1
    return count


def _below(root: Path, folder: str) -> Iterator[StoredFile]:
    for parent, _, names in os.walk(root / folder):
        for name in names:
            if found := _file(root, Path(parent, name)):
                yield found


def _file(root: Path, path: Path) -> StoredFile | None:
    """Return a regular file; None for others, and for one that was just removed."""
    try:
        info = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(info.st_mode):
        return None
    name = path.relative_to(root).as_posix()
    return StoredFile(name, info.st_size, info.st_mtime)
