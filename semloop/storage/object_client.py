"""The client of an object store, with its time-outs, retries and keys."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from semloop.extras import need
from semloop.storage.credentials import KEY_OPTIONS, ChainCredentials
from semloop.storage.object_store import CONNECT_S, RETRY_S

if TYPE_CHECKING:
    from obstore.store import S3Credential, S3Store

STORE_OPTIONS = ("aws_endpoint_url", "aws_region", *KEY_OPTIONS)


def client(
    root: str,
    options: Mapping[str, str],
    credentials: ChainCredentials | None,
    retries: int,
    timeout_s: float,
) -> "S3Store":
    """Create a client; no connection is opened yet.

    Args:
        root: `s3://bucket/prefix`.
        options: as `options_of` returns them.
        credentials: source of the keys, if the options have no keys.
        retries: maximum retries of a request.
        timeout_s: for a request with its body.
    """
    store: S3Store = need("obstore.store").S3Store.from_url(
        root,
        config={k: options[k] for k in STORE_OPTIONS if k in options},
        client_options={
            "allow_http": options.get("aws_allow_http") == "true",
            "connect_timeout": timedelta(seconds=CONNECT_S),
            "timeout": timedelta(seconds=timeout_s),
        },
        retry_config={
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=RETRY_S),
        },
        credential_provider=_current_keys(credentials) if credentials else None,
    )
    return store


def _current_keys(credentials: ChainCredentials) -> "Callable[[], S3Credential]":
    def current_keys() -> "S3Credential":
        key, secret, token = map(credentials.keys().get, KEY_OPTIONS)
        assert key is not None
        assert secret is not None
        # Expired immediately, so that the next request gets the keys valid then.
        now = datetime.now(UTC)
        return {
            "access_key_id": key,
            "secret_access_key": secret,
            "token": token,
            "expires_at": now,
        }

    return current_keys
