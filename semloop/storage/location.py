"""Handles on the lake: settings -> Delta tables, a DuckDB connection, a few files.

A lake is a folder or `s3://bucket/prefix` with one Delta table a folder. Everything
that knows which of the two it is stands here.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from semloop.errors import ConfigError, LakeError
from semloop.settings import LOCAL_FOLDER, Secret, Settings
from semloop.storage import object_store
from semloop.storage.credentials import KEY_ID, ChainCredentials, chain_credentials
from semloop.storage.errors import storage_errors, translate
from semloop.storage.local_files import make_once, write_new

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from typing_extensions import Buffer

    from semloop.storage.objects import Objects

KEY_CHARS_MIN = 16


@dataclass(frozen=True)
class Storage:
    """Where the tables of one lake are and how they are opened.

    `options` are object-store options as deltalake takes them; they may have static
    keys and are never printed. `credentials` is the source of keys that are not static.
    """

    root: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    credentials: ChainCredentials | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Storage":
        """The storage that the settings name; nothing is opened yet.

        Raises:
            ConfigError: no lake can be there, or an `AWS_*` variable is wrong.
        """
        if not settings.on_s3:
            return cls(settings.lake)
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
        """Whether the lake is in an object store."""
        return self.root.startswith(object_store.SCHEME)

    @property
    def endpoint(self) -> str:
        """Address of the object store; empty for Amazon's own and for folders."""
        return self.options.get("aws_endpoint_url", "")

    @property
    def current_options(self) -> dict[str, str]:
        """The options with keys that are valid now, for a handle that is opened now.

        A handle keeps its keys: it must be opened again when `key_id` has changed.

        Raises:
            LakeError: there are no keys. StorageUnavailable: not now.
        """
        return {**self.options, **(self.credentials.keys() if self.credentials else {})}

    @property
    def key_id(self) -> str:
        """Id of the temporary key that is valid now; empty for keys that never end.

        It changes 10 minutes before the key before it ends. Raises as
        `current_options`.
        """
        return self.credentials.keys()[KEY_ID] if self.credentials else ""

    @cached_property
    def objects(self) -> "Objects":
        """Plain calls on the objects of a lake on S3."""
        from semloop.storage.objects import Objects

        return Objects(self.root, self.options, self.credentials)

    def uri(self, table: str) -> str:
        """Path or URL of a table."""
        return f"{self.root}/{table}"

    def has(self, table: str, doing: str = "") -> bool:
        """Whether the table exists.

        Args:
            table: its name.
            doing: what fails if the storage fails; "read table ..." by default.

        Raises:
            LakeError: the storage refuses. StorageUnavailable: it does not answer.
        """
        with storage_errors(self, doing or f"read table {table}"):
            if not self.on_s3:
                # A folder without an entry is a table that is just being created.
                log = Path(self.uri(table)) / "_delta_log"
                return any(log.glob("[0-9]*.json")) or any(log.glob("[0-9]*.parquet"))
            from deltalake import DeltaTable

            return bool(DeltaTable.is_deltatable(self.uri(table), self.current_options))

    def open(self, table: str, version: int | None = None) -> "DeltaTable":
        """A version of a table as a handle; the newest one without `version`.

        Raises:
            LakeError: the storage refuses.
            StorageUnavailable: it does not answer, or there is no such table.
        """
        from deltalake import DeltaTable

        with storage_errors(self, f"read table {table}"):
            options = self.current_options or None
            return DeltaTable(self.uri(table), version, storage_options=options)

    def put(self, name: str, data: "Buffer") -> None:
        """Write a new file of the lake as a whole, lasting before this returns.

        Raises:
            OSError: the storage refuses.
        """
        if self.on_s3:
            self.objects.put(name, data)
        else:
            write_new(Path(self.root, name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file of the lake as a whole, if it is absent.

        Returns:
            False if it was there: of several that try at once one gets True.

        Raises:
            LakeError: the storage refuses. StorageUnavailable: it does not answer.
        """
        try:
            if self.on_s3:
                self.objects.put(name, data, only_new=True)
                return True
            return make_once(Path(self.root, name), data, 0o644)
        except FileExistsError:
            return False
        except OSError as error:
            raise translate(self, f"create {name}", error) from error

    def read(self, name: str) -> bytes | None:
        """A small file of the lake; None if it is absent.

        Raises:
            LakeError: the storage refuses. StorageUnavailable: it does not answer.
        """
        try:
            if self.on_s3:
                return self.objects.read(name)
            return Path(self.root, name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate(self, f"read {name}", error) from error

    def opener(self) -> "Callable[[str], pa.NativeFile]":
        """Opens files of the lake for reading in parts; they raise OSError."""
        import pyarrow as pa

        if self.on_s3:
            return self.objects.open
        return lambda name: pa.OSFile(f"{self.root}/{name}")

    def local_folder(self) -> Path:
        """Folder for pid files, logs and the key of a local lake; made if absent."""
        if self.on_s3:
            msg = f"{self.root} is not a local lake."
            raise LakeError(msg, "Set SEMLOOP_LAKE to a folder for the local stack.")
        folder = Path(self.root) / LOCAL_FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            msg = f"The lake {self.root} cannot be written: {exc.strerror}."
            raise LakeError(msg, "Set SEMLOOP_LAKE to a folder of yours.") from None
        return folder


def redaction_key(settings: Settings, storage: Storage) -> Secret:
    """The key of the pseudonyms; a local lake makes its own once, readable by you only.

    Raises:
        ConfigError: the lake is on S3 and no key is set, or the key is too short.
    """
    key = settings.redaction.key
    if key is None and storage.on_s3:
        msg = "A lake on S3 needs SEMLOOP_REDACTION_KEY, the same for all writers."
        raise ConfigError(msg, "Make one with `openssl rand -hex 32` and keep it safe.")
    if key is None:
        key = _own_key(storage.local_folder() / "redaction.key")
    if len(key.reveal()) < KEY_CHARS_MIN:
        msg = f"SEMLOOP_REDACTION_KEY is shorter than {KEY_CHARS_MIN} characters."
        raise ConfigError(msg, "Make one with `openssl rand -hex 32`.")
    return key


def _own_key(path: Path) -> Secret:
    """Read the lake's key, or make it: of two processes that try, one wins."""
    try:
        if not path.exists():
            make_once(path, secrets.token_hex(32).encode(), 0o600)
        return Secret(path.read_text().strip())
    except OSError as exc:
        msg = f"The key {path} can be neither read nor made: {exc.strerror}."
        todo = "Check disk space and its rights, or set SEMLOOP_REDACTION_KEY."
        raise LakeError(msg, todo) from None
