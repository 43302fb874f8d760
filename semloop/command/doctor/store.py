"""Calls on an object store whose first answer counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from semloop.storage.location import Storage

if TYPE_CHECKING:
    from s3fs import S3FileSystem

# Calls at a time: as many as writers that race for one file.
CONNECTIONS = 16


def direct_calls(storage: Storage) -> "S3FileSystem":
    """Plain calls on the object store, none of which is tried again.

    A PUT that is tried again after its answer was lost loses against itself.
    """
    files = storage.files()
    options = dict(files.storage_options)
    connections = {"max_pool_connections": CONNECTIONS}
    options["config_kwargs"] = {**options["config_kwargs"], **connections}
    own: S3FileSystem = type(files)(**options)
    own.retries = 1
    return own


@contextmanager
def as_os_error() -> Iterator[None]:
    """s3fs turns answers into OSErrors, but not what goes wrong with connections."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        raise OSError(str(error)) from error
