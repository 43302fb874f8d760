"""Calls on an object store whose first answer counts."""

import ssl
import urllib.request
from urllib.error import HTTPError

from semloop.storage import object_store
from semloop.storage.errors import translate
from semloop.storage.location import Storage
from semloop.storage.objects import Objects

# What the store is asked for, in errors.
CALL = "read the bucket"


def direct_calls(storage: Storage) -> Objects:
    """Plain calls on the object store, none of which is sent again.

    A PUT that is sent again after its answer was lost loses against itself.
    """
    return Objects(storage.root, storage.options, storage.credentials, retries=0)


def server_date(storage: Storage) -> str | None:
    """The header `Date` of the store's answer to a request without keys.

    A refusal has it, too: one for a wrong clock as well as one for missing keys.

    Raises:
        StorageUnavailable: the store does not answer. LakeError: its certificate is
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
        ) as answer:
            date: str | None = answer.headers["Date"]
    except HTTPError as refusal:
        with refusal:
            date = refusal.headers["Date"]
    except OSError as error:
        raise translate(storage, CALL, error) from error
    return date
