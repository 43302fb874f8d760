"""Handles on the lake: settings -> Delta tables, a DuckDB connection, a few files.

A lake is a folder or `s3://bucket/prefix` with one Delta table a folder. Everything
that knows which of the two it is stands here.
"""

import importlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semloop.errors import ConfigError, LakeError, MissingExtra
from semloop.settings import Secret, Settings, aws_variables

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection
    from s3fs import S3FileSystem
    from typing_extensions import Buffer

# Not a table: pid files, logs and the redaction key of a local lake.
LOCAL_FOLDER = "_local"
KEY_CHARS_MIN = 16


@dataclass(frozen=True)
class Storage:
    """Where the tables of one lake are and how they are opened.

    `options` are object-store options as deltalake takes them; they hold secrets and
    are never printed.
    """

    root: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Storage":
        """The storage that the settings name; nothing is opened yet."""
        if not settings.on_s3:
            return cls(settings.lake)
        return cls(settings.lake.rstrip("/"), _s3_options())

    @property
    def on_s3(self) -> bool:
        """Whether the lake is in an object store."""
        return self.root.startswith("s3://")

    def uri(self, table: str) -> str:
        """Path or URL of a table."""
        return f"{self.root}/{table}"

    def has(self, table: str) -> bool:
        """Whether the table exists."""
        if not self.on_s3:
            # A folder without an entry is a table that is just being created.
            log = Path(self.uri(table)) / "_delta_log"
            return any(log.glob("[0-9]*.json")) or any(log.glob("[0-9]*.parquet"))
        from deltalake import DeltaTable

        return bool(DeltaTable.is_deltatable(self.uri(table), dict(self.options)))

    def open(self, table: str) -> "DeltaTable":
        """The newest version of a table, as a handle.

        Raises:
            TableNotFoundError: it does not exist (deltalake's own error).
        """
        from deltalake import DeltaTable

        return DeltaTable(self.uri(table), storage_options=dict(self.options) or None)

    def put(self, name: str, data: "Buffer") -> None:
        """Write a new file of the lake as a whole, lasting before this returns.

        Raises:
            OSError: the storage refuses.
        """
        if self.on_s3:
            self.files().pipe_file(f"{self.root}/{name}", memoryview(data).tobytes())
            return
        path = Path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            try:
                file.write(data)
                file.flush()
                # After a power cut the log must not name a file without its content.
                os.fsync(file.fileno())
            except OSError:
                path.unlink()  # Every try would leave another piece on a full disk.
                raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def files(self) -> "S3FileSystem":
        """Plain calls on the object store."""
        s3fs = _need("s3fs")
        options = self.options
        files: S3FileSystem = s3fs.S3FileSystem(
            key=options.get("aws_access_key_id"),
            secret=options.get("aws_secret_access_key"),
            token=options.get("aws_session_token"),
            endpoint_url=options.get("aws_endpoint_url"),
            client_kwargs={"region_name": options.get("aws_region")},
        )
        return files

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

    def duckdb(self) -> "DuckDBPyConnection":
        """An in-memory DuckDB that can read this lake's Delta tables.

        Extensions are loaded from their PyPI wheels: nothing is downloaded.

        Raises:
            MissingExtra: DuckDB or an extension is not installed.
        """
        con: DuckDBPyConnection = _need("duckdb").connect()
        con.execute("SET autoinstall_known_extensions = false")
        for sql in self.duckdb_init(reveal=True):
            con.execute(sql)
        return con

    def parquet_reader(self) -> "DuckDBPyConnection":
        """An in-memory DuckDB for plain Parquet files of this lake."""
        con: DuckDBPyConnection = _need("duckdb").connect()
        con.execute("SET autoinstall_known_extensions = false; SET TimeZone = 'UTC'")
        if self.on_s3:
            con.execute(f"LOAD {quoted(_extension('httpfs'))}")
            con.execute(self._s3_secret(reveal=True))
        return con

    def duckdb_init(self, *, reveal: bool = False) -> list[str]:
        """The statements that let any DuckDB 1.5.5 read this lake.

        Args:
            reveal: with the keys of the object store themselves; without, they are
                taken from the environment by `getenv`, which DuckDB's own shell has.
        """
        statements = ["SET TimeZone = 'UTC'", f"LOAD {quoted(_extension('delta'))}"]
        if self.on_s3:
            statements.insert(1, f"LOAD {quoted(_extension('httpfs'))}")
            statements.append(self._s3_secret(reveal=reveal))
        return statements

    def _s3_secret(self, *, reveal: bool) -> str:
        # The delta extension has its own object store: it takes DuckDB's s3 secret.
        endpoint = self.options.get("aws_endpoint_url", "")
        region = quoted(self.options.get("aws_region", "us-east-1"))
        scope = quoted(self.root)
        parts = ["TYPE s3", "PROVIDER config", f"SCOPE {scope}", f"REGION {region}"]
        for option, name in (
            ("aws_access_key_id", "KEY_ID"),
            ("aws_secret_access_key", "SECRET"),
            ("aws_session_token", "SESSION_TOKEN"),
        ):
            if value := self.options.get(option):
                hidden = f"getenv('{option.upper()}')"
                parts.append(f"{name} {quoted(value) if reveal else hidden}")
        if endpoint:
            parts.append(f"ENDPOINT {quoted(endpoint.split('://', 1)[-1])}")
            parts.append(f"USE_SSL {str(endpoint.startswith('https')).lower()}")
            parts.append("URL_STYLE 'path'")
        return f"CREATE OR REPLACE SECRET semloop ({', '.join(parts)})"


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def redaction_key(settings: Settings, storage: Storage) -> Secret:
    """The key of the pseudonyms; a local lake makes its own once, readable by you only.

    Raises:
        ConfigError: the lake is on S3 and no key is set, or the key is too short.
    """
    key = settings.redaction_key
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
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return Secret(path.read_text().strip())


def _s3_options(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Object-store options from the usual `AWS_*` variables."""
    variables = aws_variables(environ)
    options = {name.lower(): value for name, value in variables.items()}
    options.setdefault("aws_region", variables.get("AWS_DEFAULT_REGION", "us-east-1"))
    # A second writer of the same log entry must be refused, not win silently.
    options["aws_conditional_put"] = "etag"
    if options.get("aws_endpoint_url", "").startswith("http://"):
        options["aws_allow_http"] = "true"
    return options


def _extension(name: str) -> str:
    """Path of a DuckDB extension inside its wheel.

    The wheels' own `import_extension` would copy hundreds of megabytes into the home
    folder.
    """
    spec = find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        msg = f"The DuckDB extension {name!r} is not installed."
        raise MissingExtra(msg, "Run: pip install 'semloop[query]'")
    found = sorted(Path(spec.origin).parent.glob("extensions/*/*.duckdb_extension"))
    return str(found[-1])


def _need(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        msg = f"The package {module!r} is not installed."
        raise MissingExtra(msg, "Run: pip install 'semloop[query]'") from None
