"""Location of a lake and handles on its tables and files.

A lake is a folder or `s3://bucket/prefix` with one folder per Delta table. Code that
depends on which of the two it is belongs here.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from semloop.errors import FileDamaged, LakeError
from semloop.settings import LOCAL_FOLDER, Settings
from semloop.storage import object_store
from semloop.storage.credentials import KEY_ID, ChainCredentials, chain_credentials
from semloop.storage.damage import log_damage
from semloop.storage.error_texts import is_absent
from semloop.storage.errors import storage_errors, translate
from semloop.storage.local_files import (
    copy_durable,
    create_exclusive,
    make_folder,
    replace_file,
    write_durable,
)
from semloop.storage.presence import Presence

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from typing_extensions import Buffer

    from semloop.storage.objects import Objects


@dataclass(frozen=True)
class Storage(Presence):
    """Location of one lake, and access to its tables and files.

    `options` are object-store options in deltalake's format; they may contain static
    keys and are never printed. `credentials` is the source of keys that are not static.
    """

    root: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    credentials: ChainCredentials | None = None
    file_mode: int = 0o600
    """Of new files of a local lake, before the umask."""

    @classmethod
    def of(cls, settings: Settings) -> "Storage":
        """Return the storage named in the settings, without opening anything.

        Raises:
            ConfigError: the location or an `AWS_*` variable is invalid.
        """
        if not settings.on_s3:
            private = settings.lake_mode == "private"
            return cls(settings.lake, file_mode=0o600 if private else 0o666)
        root = object_store.root_of(settings.lake)
        options = object_store.options_of()
        credentials = chain_credentials()
        if credentials is not None:
            options = object_store.without_keys(options)
            options.setdefault("aws_region", credentials.region or "")
        options["aws_region"] = options.get("aws_region") or object_store.DEFAULT_REGION
        object_store.trust(options)
        return cls(root, options, credentials)

    @property
    def on_s3(self) -> bool:
        """True if the lake is in an object store."""
        return self.root.startswith(object_store.SCHEME)

    @property
    def endpoint(self) -> str:
        """Address of the object store; empty for Amazon S3 and for folders."""
        return self.options.get("aws_endpoint_url", "")

    @property
    def current_options(self) -> dict[str, str]:
        """The options with currently valid keys, for opening a handle.

        A handle does not renew its keys: reopen it when `key_id` has changed.

        Raises:
            LakeError: AWS refuses to issue keys.
            StorageUnavailable: the issuer of the keys does not answer.
        """
        return {**self.options, **(self.credentials.keys() if self.credentials else {})}

    @property
    def key_id(self) -> str:
        """Id of the current temporary key; empty for keys that do not expire.

        It changes 10 minutes before the previous key expires. Raises the errors of
        `current_options`.
        """
        return self.credentials.keys()[KEY_ID] if self.credentials else ""

    @cached_property
    def objects(self) -> "Objects":
        """Operations on the objects of a lake on S3."""
        from semloop.storage.objects import Objects

        return Objects(self.root, self.options, self.credentials)

    def uri(self, table: str) -> str:
        """Return the path or URL of a table."""
        return f"{self.root}/{table}"

    def has(self, table: str, doing: str = "") -> bool:
        """Return True if the table exists.

        Args:
            table: name of the table.
            doing: the failed action in errors; "read table ..." by default.

        Raises:
            LakeError: the storage refuses. StorageUnavailable: it does not answer.
        """
        with storage_errors(self, doing or f"read table {table}"):
            if not self.on_s3:
                # A folder without log entries is a table that is being created.
                log = Path(self.uri(table)) / "_delta_log"
                return any(log.glob("[0-9]*.json")) or any(log.glob("[0-9]*.parquet"))
            from deltalake import DeltaTable

            return bool(DeltaTable.is_deltatable(self.uri(table), self.current_options))

    def open(self, table: str, version: int | None = None) -> "DeltaTable":
        """Open a table at a version, by default the newest.

        Raises:
            LakeError: the storage refuses.
            FileDamaged: the log cannot be read.
            StorageUnavailable: it does not answer, or the table does not exist.
        """
        from deltalake import DeltaTable

        with _naming_damage(self, table), storage_errors(self, f"read table {table}"):
            return DeltaTable(self.uri(table), version, self.current_options or None)

    def put(self, name: str, data: "Buffer") -> None:
        """Write a new file of the lake; it is complete and durable on return.

        Raises:
            OSError: the storage refuses.
        """
        if self.on_s3:
            self.objects.put(name, data)
        else:
            write_durable(Path(self.root, name), data, self.file_mode)

    def put_file(self, name: str, path: Path, storage_class: str = "") -> None:
        """Write a new file of the lake from a local one, which need not fit in memory.

        Raises:
            OSError: the storage refuses.
        """
        if self.on_s3:
            self.objects.put_file(name, path, storage_class)
        else:
            copy_durable(path, Path(self.root, name), self.file_mode)

    def replace(self, name: str, data: bytes) -> None:
        """Write a small file of the lake, or replace it by another as a whole.

        In a folder it is atomic, but a power failure may lose it.

        Raises:
            OSError: the storage refuses.
        """
        if self.on_s3:
            self.objects.put(name, data)
        else:
            replace_file(Path(self.root, name), data, self.file_mode)

    def create(self, name: str, data: bytes) -> bool:
        """Create a small file of the lake atomically, unless it exists.

        Returns:
            True if this call created it; one of several concurrent calls does.

        Raises:
            LakeError: the storage refuses. StorageUnavailable: it does not answer.
        """
        try:
            if self.on_s3:
                self.objects.put(name, data, only_new=True)
                return True
            return create_exclusive(Path(self.root, name), data, self.file_mode)
        except FileExistsError:
            return False
        except OSError as error:
            raise translate(self, f"create {name}", error) from error

    def read(self, name: str) -> bytes | None:
        """Read a small file of the lake; None if it does not exist.

        Raises:
            LakeError: the storage refuses. StorageUnavailable: it does not answer.
        """
        try:
            if self.on_s3:
                return self.objects.read(name)
            return Path(self.root, name).read_bytes()
        except OSError as error:
            if is_absent(error) if self.on_s3 else isinstance(error, FileNotFoundError):
                return None
            raise translate(self, f"read {name}", error) from error

    def opener(self) -> "Callable[[str], pa.NativeFile]":
        """Return a function that opens files for random reads; it raises OSError."""
        import pyarrow as pa

        if self.on_s3:
            return self.objects.open
        return lambda name: pa.OSFile(f"{self.root}/{name}")

    def local_folder(self) -> Path:
        """Return the folder for pid files, logs and the key of a local lake.

        It is created if it does not exist.
        """
        if self.on_s3:
            msg = f"{self.root} is not a local lake."
            raise LakeError(msg, "Set SEMLOOP_LAKE to a folder for the local stack.")
        folder = Path(self.root) / LOCAL_FOLDER
        try:
            make_folder(folder, self.file_mode)
        except OSError as exc:
            msg = f"The lake {self.root} cannot be written: {exc.strerror}."
            todo = "Set SEMLOOP_LAKE to a folder that you may write to."
            raise LakeError(msg, todo) from None
        return folder


def log_damage_of(storage: Storage, table: str) -> str:
    """Return which file of a table's log is missing or damaged; empty if none is.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    folder = f"{table}/_delta_log"

    def names() -> set[str]:
        if storage.on_s3:
            return {file.name for file in storage.objects.below(folder)}
        found = Path(storage.root, folder).glob("*")
        return {f"{folder}/{path.name}" for path in found}

    with storage_errors(storage, f"read table {table}"):
        return log_damage(table, storage.read, names)


@contextmanager
def _naming_damage(storage: Storage, table: str) -> Iterator[None]:
    """Name the file of the log that cannot be read, which the library leaves out."""
    try:
        yield
    except FileDamaged as error:
        if found := log_damage_of(storage, table):
            msg = f"Cannot read table {table} in {storage.root}: {found}."
            raise FileDamaged(msg, error.todo) from error
        raise
