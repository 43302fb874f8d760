"""Objects below one URL of an object store, read and written by obstore."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from semloop.storage import object_store
from semloop.storage.credentials import ChainCredentials
from semloop.storage.object_client import client
from semloop.storage.stored_file import StoredFile

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from obstore import PutMode
    from obstore.store import S3Store
    from typing_extensions import Buffer

# Slowest upload that is not a timeout.
UPLOAD_BYTES_PER_S = 2**18
# Of a file that is uploaded in parts; stores do not accept smaller ones.
PART_BYTES = 5 * 2**20
PARTS_AT_A_TIME = 2
# obstore's message does not contain the cause; the debug dump after it does.
DUMP = "\n\nDebug source:"
_CAUSE = re.compile(
    r'message: "(?P<words>[^"\\]+)"|InvalidCertificate\(\s*(?P<certificate>\w+)'
    r"|kind: (?P<timeout>Timeout)\b"
)


class Objects:
    """Objects below one URL; thread-safe.

    Every method raises `OSError` if the store refuses or does not answer, and
    `LakeError` or `StorageUnavailable` if there are no valid keys.
    """

    def __init__(
        self,
        root: str,
        options: Mapping[str, str],
        credentials: ChainCredentials | None,
        retries: int = object_store.RETRIES,
    ) -> None:
        """Create the client; no connection is opened yet.

        Args:
            root: `s3://bucket/prefix`.
            options: as `options_of` returns them.
            credentials: source of the keys, if the options have no keys.
            retries: maximum retries of a request.
        """
        self._root = root
        self._options = options
        self._credentials = credentials
        self._retries = retries
        self._store = self._client(object_store.ANSWER_S)

    def read(self, name: str) -> bytes:
        """Read a whole object.

        Raises:
            FileNotFoundError: the object does not exist.
        """
        import obstore

        with self._os_errors():
            return obstore.get(self._store, name).bytes().to_bytes()

    def read_tagged(self, name: str) -> tuple[bytes, str]:
        """Read a whole object and its ETag.

        Raises:
            FileNotFoundError: the object does not exist.
        """
        import obstore

        with self._os_errors():
            found = obstore.get(self._store, name)
            return found.bytes().to_bytes(), found.meta["e_tag"] or ""

    def put(
        self, name: str, data: "Buffer", *, only_new: bool = False, replaces: str = ""
    ) -> None:
        """Write a whole object by one request.

        Args:
            name: name of the object.
            data: its content.
            only_new: refuse to replace an object.
            replaces: ETag of the only object that may be replaced; empty for any.

        Raises:
            FileExistsError: `only_new` is True and the object exists, or it is not
                the one to replace.
        """
        import obstore

        # Arrow's buffers have signed bytes, which obstore does not accept.
        content, store = memoryview(data).cast("B"), self._store
        if content.nbytes > UPLOAD_BYTES_PER_S:
            seconds = object_store.ANSWER_S + content.nbytes // UPLOAD_BYTES_PER_S
            store = self._client(seconds)
        with self._os_errors():
            obstore.put(
                store,
                name,
                content,
                mode=_put_mode(only_new=only_new, replaces=replaces),
                use_multipart=False,  # Multipart uploads are not conditional.
            )

    def put_file(self, name: str, path: "Path", storage_class: str = "") -> None:
        """Write an object from a local file, in parts: it is not read into memory.

        Without a storage class the object gets that of the bucket.
        """
        import obstore

        # A request lasts longer than for a small object: on a slow link two parts share
        # the bandwidth.
        seconds = PARTS_AT_A_TIME * PART_BYTES // UPLOAD_BYTES_PER_S
        store = self._client(object_store.ANSWER_S + seconds)
        with self._os_errors():
            obstore.put(
                store,
                name,
                path,
                attributes={"Storage-Class": storage_class} if storage_class else None,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_A_TIME,
            )

    def written_at(self, name: str) -> datetime:
        """Return when an object was written, by the clock of the store.

        Raises:
            FileNotFoundError: the object does not exist.
        """
        import obstore

        with self._os_errors():
            return obstore.head(self._store, name)["last_modified"]

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects, a thousand per request; no error if one does not exist."""
        import obstore

        with self._os_errors():
            # A store need not have the request for several of them.
            obstore.delete(self._store, names[0] if len(names) == 1 else names)

    def names(self) -> list[str]:
        """List the names of all objects, in the store's order."""
        import obstore

        with self._os_errors():
            return [entry["path"] for entry in obstore.list(self._store).collect()]

    def below(self, folder: str) -> Iterator[StoredFile]:
        """Yield the objects below a folder; each thousand is one request."""
        import obstore

        with self._os_errors():
            for chunk in obstore.list(self._store, folder):
                yield from map(_stored, chunk)

    def at_top(self) -> Iterator[StoredFile]:
        """Yield the objects directly below the URL."""
        import obstore

        with self._os_errors():
            found = obstore.list_with_delimiter(self._store)["objects"]
            yield from map(_stored, found)

    def open(self, name: str) -> "pa.NativeFile":
        """Open an object for random reads; each read is one request.

        Raises:
            FileNotFoundError: the object does not exist.
        """
        import obstore
        import pyarrow as pa

        with self._os_errors():
            size = obstore.head(self._store, name)["size"]
        return pa.PythonFile(_ObjectFile(self, name, size), mode="r")

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Read the bytes from `start` up to, but not including, `end`."""
        import obstore

        with self._os_errors():
            return obstore.get_range(self._store, name, start=start, end=end).to_bytes()

    def _client(self, timeout_s: float) -> "S3Store":
        return client(
            self._root, self._options, self._credentials, self._retries, timeout_s
        )

    @contextmanager
    def _os_errors(self) -> Iterator[None]:
        """Raise obstore's errors as OSErrors, with the cause on a separate line."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        if self._credentials is not None:
            # Raise our error for missing keys here; obstore would wrap it.
            self._credentials.keys()
        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            raise FileExistsError(_message(error)) from None
        except FileNotFoundError as error:
            raise FileNotFoundError(_message(error)) from None
        except BaseError as error:
            raise OSError(_message(error)) from None


class _ObjectFile(io.RawIOBase):
    """One object as a Python file."""

    def __init__(self, objects: Objects, name: str, size: int) -> None:
        self._objects, self._name, self._size = objects, name, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = start[whence] + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = self._size
        if size is not None and size >= 0:
            end = min(end, self._position + size)
        if end <= self._position:
            return b""
        content = self._objects.read_range(self._name, self._position, end)
        self._position += len(content)
        return content


def _stored(entry: Any) -> StoredFile:
    changed_s = entry["last_modified"].timestamp()
    return StoredFile(entry["path"], entry["size"], changed_s)


def _put_mode(*, only_new: bool, replaces: str) -> "PutMode":
    if replaces:
        return {"e_tag": replaces}
    return "create" if only_new else "overwrite"


def _message(error: Exception) -> str:
    message, _, dump = str(error).partition(DUMP)
    causes = list(_CAUSE.finditer(dump))
    if not causes:
        return message
    cause = causes[-1]
    if cause["timeout"]:
        return f"{message}\noperation timed out"
    if cause["certificate"]:
        return f"{message}\ninvalid peer certificate: {cause['certificate']}"
    return f"{message}\n{cause['words']}"
