"""Lakes on S3: one set of `AWS_*` variables for every reader and writer.

deltalake, DuckDB's delta extension, DuckDB's httpfs and s3fs each have a client of
their own; what they are told about credentials, certificates and time-outs stands here.
"""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from semloop.errors import ConfigError
from semloop.settings import aws_variables
from semloop.sql_text import quoted

if TYPE_CHECKING:
    from s3fs import S3FileSystem

SCHEME = "s3://"
# A store that is gone costs whoever asks some seconds, not the minutes of the
# libraries' own retries: a flow tries again by itself, and people want to be told.
CONNECT_S = 3
ANSWER_S = 10
RETRIES = 2
# The slowest line that a flow can live with.
UPLOAD_BYTES_PER_S = 2**18
RETRY_S = 5
# Letters that deltalake or DuckDB take for something else in a URL.
REFUSED_LETTERS = "*?[]%#\\^|"
# Precondition failed; and Amazon's word for two PUTs of one new key at a time.
EXISTS = (412, 409)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def root_of(lake: str) -> str:
    """The URL of a lake as all libraries understand it, without a slash at its end.

    Raises:
        ConfigError: no lake can be there.
    """
    root = lake.rstrip("/")
    bucket, *folders = root.removeprefix(SCHEME).split("/")
    if root == SCHEME.rstrip("/") or not BUCKET.fullmatch(bucket):
        msg = f"Setting 'lake': {lake!r} does not name a bucket."
        raise ConfigError(msg, "Set SEMLOOP_LAKE to s3://bucket/prefix.")
    letters = {c for c in root if c in REFUSED_LETTERS or not c.isprintable()}
    if letters:
        odd = " ".join(sorted(ascii(c)[1:-1].replace("\\\\", "\\") for c in letters))
        msg = f"The lake cannot be in {lake!r}: {odd} in its path."
        raise ConfigError(msg, "Readers of tables take these for patterns: rename it.")
    if any(folder in {"", ".", ".."} for folder in folders):
        msg = f"The lake cannot be in {lake!r}: a part of its path is empty or dots."
        raise ConfigError(msg, "Set SEMLOOP_LAKE to s3://bucket/prefix.")
    return root


def options_of(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Options from the `AWS_*` variables, in the form that deltalake takes.

    Raises:
        ConfigError: there are no keys, or the endpoint or the CA file is none.
    """
    variables = {k: v for k, v in aws_variables(environ).items() if v}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if name not in variables:
            msg = f"A lake on S3 needs credentials: {name} is not set."
            raise ConfigError(msg, "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    options = {name.lower(): value for name, value in variables.items()}
    options.setdefault("aws_region", variables.get("AWS_DEFAULT_REGION", "us-east-1"))
    own = options.pop("aws_endpoint_url_s3", "")
    if endpoint := (own or options.get("aws_endpoint_url", "")).rstrip("/"):
        options["aws_endpoint_url"] = endpoint
        _check_endpoint(endpoint)
        if endpoint.startswith("http://"):
            options["aws_allow_http"] = "true"
    if bundle := options.get("aws_ca_bundle"):
        _check_ca(bundle)
    # A second writer of the same log entry must be refused, not win silently.
    options["aws_conditional_put"] = "etag"
    options |= {
        "connect_timeout": f"{CONNECT_S}s",
        "timeout": f"{ANSWER_S}s",
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_S}s",
    }
    return options


def lance_options(options: Mapping[str, str]) -> dict[str, str]:
    """The same in the form that LanceDB takes; it knows a CA only by `trust`.

    Args:
        options: as `options_of` gives them.
    """
    ours = ("aws_ca_bundle", "max_retries", "retry_timeout")
    found = {name: value for name, value in options.items() if name not in ours}
    # Above its client LanceDB asks four to six times by itself.
    return found | {"client_max_retries": "0", "client_retry_timeout": str(RETRY_S)}


def trust(options: Mapping[str, str]) -> None:
    """Let the Rust clients of this process know the CA that AWS_CA_BUNDLE names.

    deltalake and DuckDB's delta extension have no option for it, only this variable.
    """
    if bundle := options.get("aws_ca_bundle"):
        os.environ["SSL_CERT_FILE"] = bundle


def file_system(options: Mapping[str, str]) -> "S3FileSystem":
    """Plain calls on the object store."""
    import s3fs

    files: S3FileSystem = s3fs.S3FileSystem(
        key=options.get("aws_access_key_id"),
        secret=options.get("aws_secret_access_key"),
        token=options.get("aws_session_token"),
        endpoint_url=options.get("aws_endpoint_url"),
        client_kwargs={
            "region_name": options.get("aws_region"),
            "verify": options.get("aws_ca_bundle"),
        },
        config_kwargs={
            "connect_timeout": CONNECT_S,
            "read_timeout": ANSWER_S,
            # s3fs itself tries again.
            "retries": {"total_max_attempts": 1, "mode": "standard"},
        },
        # What others write must be seen.
        use_listings_cache=False,
    )
    files.retries = RETRIES
    return files


def put(
    files: "S3FileSystem", url: str, data: bytes, *, only_new: bool = False
) -> None:
    """Write an object as a whole.

    Raises:
        FileExistsError: it is there, and only a new one was to be written.
        OSError: the store refuses or does not answer.
    """
    import asyncio

    from botocore.exceptions import BotoCoreError, ClientError
    from fsspec.asyn import sync

    mode = "create" if only_new else "overwrite"
    seconds = ANSWER_S + len(data) / UPLOAD_BYTES_PER_S

    async def upload() -> None:
        # The client waits for ever for a server's leave to send the content.
        await asyncio.wait_for(files._pipe_file(url, data, mode=mode), seconds)

    try:
        sync(files.loop, upload)
    except TimeoutError as error:
        msg = f"PUT timed out after {seconds:.0f} s"
        raise OSError(msg) from error
    except BotoCoreError as error:
        # Of connections and certificates; s3fs turns only answers into OSErrors.
        raise OSError(str(error)) from error
    except OSError as error:
        cause = error.__cause__
        if only_new and isinstance(cause, ClientError):
            status = cause.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in EXISTS:
                raise FileExistsError(url) from error
        raise


def duckdb_settings(options: Mapping[str, str]) -> list[str]:
    """Statements for DuckDB's httpfs, which reads the Parquet files."""
    statements = [f"SET http_timeout = {ANSWER_S}", f"SET http_retries = {RETRIES}"]
    if bundle := options.get("aws_ca_bundle"):
        statements.append(f"SET ca_cert_file = {quoted(bundle)}")
    return statements


def duckdb_secret(root: str, options: Mapping[str, str], *, reveal: bool) -> str:
    """The statement that gives DuckDB the keys; its delta extension takes them too.

    Args:
        root: URL of the lake; the keys serve for nothing else.
        options: as `options_of` gives them.
        reveal: with the keys themselves; without, by `getenv` of DuckDB's own shell.
    """
    region = quoted(options.get("aws_region", "us-east-1"))
    parts = ["TYPE s3", "PROVIDER config", f"SCOPE {quoted(root)}", f"REGION {region}"]
    for option, name in (
        ("aws_access_key_id", "KEY_ID"),
        ("aws_secret_access_key", "SECRET"),
        ("aws_session_token", "SESSION_TOKEN"),
    ):
        if value := options.get(option):
            hidden = f"getenv('{option.upper()}')"
            parts.append(f"{name} {quoted(value) if reveal else hidden}")
    if endpoint := options.get("aws_endpoint_url", ""):
        parts.append(f"ENDPOINT {quoted(endpoint.split('://', 1)[-1])}")
        parts.append(f"USE_SSL {str(endpoint.startswith('https')).lower()}")
        parts.append("URL_STYLE 'path'")
    return f"CREATE OR REPLACE SECRET semloop ({', '.join(parts)})"


def _check_endpoint(endpoint: str) -> None:
    if not re.fullmatch(r"https?://[^/?#@\s]+", endpoint):
        # Not shown: a URL may hold a password.
        msg = "AWS_ENDPOINT_URL is not of the form https://host:port."
        raise ConfigError(msg, "Set it to http:// or https://, host and port.")


def _check_ca(path: str) -> None:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        return
    except ssl.SSLError:
        msg = f"AWS_CA_BUNDLE: {path} holds no certificate in PEM form."
    except OSError as exc:
        msg = f"AWS_CA_BUNDLE: {path} cannot be read: {exc.strerror}."
    raise ConfigError(msg, "Set it to a PEM file with the CAs to trust, or unset it.")
