"""Lakes on S3: one set of `AWS_*` variables for every reader and writer.

deltalake, LanceDB, DuckDB's extensions and obstore each have their own client. This
module has their endpoint, certificates and timeouts, `credentials.py` their keys.
"""

import os
import re
from collections.abc import Mapping

from semloop.errors import ConfigError
from semloop.settings import aws_variables
from semloop.sql_text import quoted
from semloop.storage.credentials import KEY_OPTIONS

SCHEME = "s3://"
DEFAULT_REGION = "us-east-1"
# An unavailable store is reported within seconds, not after the minutes of the
# libraries' own retries: flows retry on their own, and users need an error soon.
CONNECT_S = 3
ANSWER_S = 10
RETRIES = 2
RETRY_S = 5
# Characters that deltalake or DuckDB interpret in a URL.
REFUSED_CHARS = "*?[]%#\\^|"
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def root_of(lake: str) -> str:
    """Return the URL of a lake without a trailing slash.

    Raises:
        ConfigError: a library would not accept or would misread the URL.
    """
    root = lake.rstrip("/")
    bucket, *folders = root.removeprefix(SCHEME).split("/")
    if root == SCHEME.rstrip("/") or not BUCKET.fullmatch(bucket):
        msg = f"Setting 'lake': {lake!r} does not name a bucket."
        raise ConfigError(msg, "Set SEMLOOP_LAKE to s3://bucket/prefix.")
    refused = {c for c in root if c in REFUSED_CHARS or not c.isprintable()}
    if refused:
        shown = " ".join(sorted(ascii(c)[1:-1].replace("\\\\", "\\") for c in refused))
        msg = f"The lake cannot be in {lake!r}: its path contains {shown}."
        todo = "Rename it: table readers interpret these characters as patterns."
        raise ConfigError(msg, todo)
    if any(folder in {"", ".", ".."} for folder in folders):
        msg = f"The lake cannot be in {lake!r}: a part of its path is empty or dots."
        raise ConfigError(msg, "Set SEMLOOP_LAKE to s3://bucket/prefix.")
    return root


def options_of(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return options from the `AWS_*` variables, in deltalake's format.

    Raises:
        ConfigError: the endpoint or the CA file is invalid.
    """
    variables = {k: v for k, v in aws_variables(environ).items() if v}
    options = {name.lower(): value for name, value in variables.items()}
    if region := variables.get("AWS_DEFAULT_REGION"):
        options.setdefault("aws_region", region)
    own = options.pop("aws_endpoint_url_s3", "")
    if endpoint := (own or options.get("aws_endpoint_url", "")).rstrip("/"):
        options["aws_endpoint_url"] = endpoint
        _check_endpoint(endpoint)
        if endpoint.startswith("http://"):
            options["aws_allow_http"] = "true"
    if bundle := options.get("aws_ca_bundle"):
        _check_ca(bundle)
    # A second writer of a log entry must be refused, not overwrite it silently.
    options["aws_conditional_put"] = "etag"
    options |= {
        "connect_timeout": f"{CONNECT_S}s",
        "timeout": f"{ANSWER_S}s",
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_S}s",
    }
    return options


def without_keys(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options without keys, which may be shown."""
    return {name: v for name, v in options.items() if name not in KEY_OPTIONS}


def lance_options(options: Mapping[str, str]) -> dict[str, str]:
    """Convert options to LanceDB's format; a CA is set only by `trust`.

    Args:
        options: as `options_of` returns them. Without keys LanceDB reads the AWS chain
            itself and renews the keys from there.
    """
    ours = ("aws_ca_bundle", "max_retries", "retry_timeout")
    kept = {name: value for name, value in options.items() if name not in ours}
    # LanceDB itself makes four to six attempts on top of its client.
    return kept | {"client_max_retries": "0", "client_retry_timeout": str(RETRY_S)}


def trust(options: Mapping[str, str]) -> None:
    """Make the Rust clients of this process trust the CA in AWS_CA_BUNDLE.

    deltalake and DuckDB's delta extension have no option for a CA, only this variable.
    """
    if bundle := options.get("aws_ca_bundle"):
        os.environ["SSL_CERT_FILE"] = bundle


def duckdb_settings(options: Mapping[str, str]) -> list[str]:
    """Return statements for DuckDB's httpfs, which reads the Parquet files."""
    statements = [f"SET http_timeout = {ANSWER_S}", f"SET http_retries = {RETRIES}"]
    if bundle := options.get("aws_ca_bundle"):
        statements.append(f"SET ca_cert_file = {quoted(bundle)}")
    return statements


def duckdb_secret(root: str, options: Mapping[str, str]) -> str:
    """Return the statement that lets DuckDB's httpfs and delta extensions open a lake.

    Args:
        root: URL of the lake; the secret applies to it only.
        options: as `options_of` returns them. Without keys the statement makes DuckDB
            read the AWS chain, which requires its extension `aws`.
    """
    names = dict(zip(KEY_OPTIONS, ("KEY_ID", "SECRET", "SESSION_TOKEN"), strict=True))
    keys = [f"{n} {quoted(options[o])}" for o, n in names.items() if options.get(o)]
    region = options.get("aws_region", DEFAULT_REGION)
    parts = ["TYPE s3", f"PROVIDER {'config' if keys else 'credential_chain'}"]
    parts += [f"SCOPE {quoted(root)}", f"REGION {quoted(region)}", *keys]
    if endpoint := options.get("aws_endpoint_url", ""):
        parts.append(f"ENDPOINT {quoted(endpoint.split('://', 1)[-1])}")
        parts.append(f"USE_SSL {str(endpoint.startswith('https')).lower()}")
        parts.append("URL_STYLE 'path'")
    return f"CREATE OR REPLACE SECRET semloop ({', '.join(parts)})"


def _check_endpoint(endpoint: str) -> None:
    if not re.fullmatch(r"https?://[^/?#@\s]+", endpoint):
        # The URL is not shown, since it may contain a password.
        msg = "AWS_ENDPOINT_URL does not have the format https://host:port."
        raise ConfigError(msg, "Set it to http:// or https://, host and port.")


def _check_ca(path: str) -> None:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        return
    except ssl.SSLError:
        msg = f"AWS_CA_BUNDLE: {path} contains no certificate in PEM format."
    except OSError as exc:
        msg = f"AWS_CA_BUNDLE: {path} cannot be read: {exc.strerror}."
    raise ConfigError(msg, "Set it to a PEM file with the CAs to trust, or unset it.")
