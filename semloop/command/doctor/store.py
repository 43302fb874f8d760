"""Object store requests that are not retried."""

import ssl
import urllib.request
from urllib.error import HTTPError

from semloop.storage import object_store
from semloop.storage.errors import translate
from semloop.storage.location import Storage
from semloop.storage.objects import Objects

# Name of the request in error texts.
CALL = "read the bucket"


def direct_calls(storage: Storage) -> Objects:
    """Return a client for the object store that does not retry.

    A conditional PUT that is retried after its response was lost would fail because of
    the first attempt.
    """
    return Objects(storage.root, storage.options, storage.credentials, retries=0)


def server_date(storage: Storage) -> str | None:
    """Return the `Date` header of the store's response to an unsigned request.

    Error responses have it too: those for a wrong clock and those for missing keys.

    Raises:
        StorageUnavailable: the store does not respond. LakeError: its certificate is
            not valid.
    """
    bucket = storage.root.removeprefix(object_store.SCHEME).partition("/")[0]
    region = storage.options["aws_region"]
    address = storage.endpoint or f"https://s3.{region}.amazonaws.com"
    # The scheme is http or https: `options_of` checks it.
    request = urllib.request.Request(  # noqa: S310
        f"{address}/{bucket}", method="HEAD"
    )
    context = ssl.create_default_context(cafile=storage.options.get("aws_ca_bundle"))
    try:
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=object_store.ANSWER_S, context=context
        ) as response:
            date: str | None = response.headers["Date"]
    except HTTPError as refusal:
        with refusal:
            date = refusal.headers["Date"]
    except OSError as error:
        raise translate(storage, CALL, error) from error
    return date
