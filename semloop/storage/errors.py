"""Translation of storage library errors into ours: what failed, why, and what to do.

deltalake, DuckDB, pyarrow, obstore and LanceDB report the same failure by different
classes and texts. They share the codes of S3 and the error numbers of the system.
"""

import errno
import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from semloop.errors import FileDamaged, LakeError, SemLoopError, StorageUnavailable
from semloop.storage.damage import DAMAGED
from semloop.storage.error_texts import (
    REFUSALS,
    code_of,
    line_of,
    line_of_lance,
    missing_object,
    number_of,
    status_of,
    text_of,
)
from semloop.tables import LAYOUT_FILE

CHECK_FOLDER = "Check SEMLOOP_LAKE, its disk space and its permissions."
CHECK_FILES = (
    "Check SEMLOOP_LAKE: `semloop maintain check` says which of its files are missing "
    "or damaged, and what to do."
)
CHECK_RIGHTS = "Check SEMLOOP_LAKE, and that this user or key may read and write there."
CHECK_STORE = "Check the object store, SEMLOOP_LAKE, its permissions and AWS_*."
CHECK_NETWORK = "Check AWS_ENDPOINT_URL and the network."
OTHER_COLUMNS = "The memories have other columns than this version of SemLoop."
REINDEX = "Run `semloop maintain reindex`: it fills a new table from the lake."
# LanceDB has no error classes of its own.
LANCE_ERRORS = (ValueError, RuntimeError)
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOTDIR, errno.EISDIR}
_FORBIDDEN_TEXT = re.compile(r"Permission denied|Read-only file system")
_CONTENDED = re.compile(r"conflict|concurrent", re.IGNORECASE)
# Texts of Rust, Python and curl.
_CERTIFICATE = re.compile(
    r"invalid peer certificate|certificate[ _]verify[ _]failed|SSL peer certificate",
    re.IGNORECASE,
)
_UNKNOWN_CA = re.compile(
    r"UnknownIssuer|local issuer|self.signed|SSL peer certificate", re.IGNORECASE
)
_UNREACHABLE = re.compile(
    r"error sending request|Could not connect|timed? ?out|deadline has elapsed"
    r"|Connection (refused|reset|was closed)|resolve host|Connect timeout",
    re.IGNORECASE,
)


class Location(Protocol):
    """Location of a lake; `semloop.storage.location.Storage` implements it."""

    @property
    def root(self) -> str:
        """Folder or `s3://bucket/prefix`."""

    @property
    def endpoint(self) -> str:
        """Address of the object store; empty for Amazon S3 and for folders."""

    def is_there(self) -> bool:
        """Return True if the storage has the lake; raises OSError if it cannot say."""

    def lacks(self, name: str) -> bool:
        """Return True if the storage says that it does not have a file of the lake.

        Raises:
            OSError: it says something else, for example that there is no bucket.
        """


@contextmanager
def storage_errors(
    lake: Location, doing: str, *, lance: bool = False
) -> Iterator[None]:
    """Translate errors that storage libraries raise in this block.

    Args:
        lake: location of the lake.
        doing: what the block does, for example "read table events".
        lance: True if the block calls LanceDB, whose errors are plain ValueErrors and
            RuntimeErrors.

    Raises:
        FileDamaged: a file is missing or damaged, or was replaced meanwhile.
        StorageUnavailable: a temporary failure. LakeError: a retry is useless.
    """
    try:
        yield
    except SemLoopError:
        raise
    except Exception as error:
        known = table_errors()
        if not isinstance(error, (*known, *LANCE_ERRORS) if lance else known):
            raise
        # LanceDB's text may quote a row, so its error is not set as the cause.
        cause = None if lance else error
        raise translate(lake, doing, error, lance=lance) from cause


@functools.cache
def table_errors() -> tuple[type[Exception], ...]:
    """Return the errors that libraries raise if table files cannot be read or written.

    tests/semloop/test_storage_errors.py lists every other class that they export.
    """
    import duckdb
    import pyarrow as pa
    from deltalake.exceptions import DeltaError

    object_store = (OSError,)  # Also raised for the file system.
    delta = (DeltaError,)
    # Both report a truncated Parquet file as invalid input.
    queries = (duckdb.IOException, duckdb.InvalidInputException)
    arrow = (pa.ArrowInvalid,)
    return (*object_store, *delta, *queries, *arrow)


def translate(
    lake: Location, doing: str, error: Exception, *, lance: bool = False
) -> LakeError | StorageUnavailable:
    """Translate an error of a library: one line on what failed, one on what to do.

    Args:
        lake: location of the lake.
        doing: what failed, for example "commit to table events".
        error: the library's error.
        lance: True if LanceDB raised it.
    """
    diagnose = _store_error if lake.root.startswith("s3://") else _folder_error
    message = line_of(error, lake.root, lance=lance)
    kind, reason, todo = diagnose(lake, error, message)
    if lance and kind is not LakeError and is_missing(error) and _is_there(lake):
        kind, reason, todo = LakeError, "the table or a file of it is missing", REINDEX
    return kind(f"Cannot {doing} in {lake.root}: {reason}.", todo)


def is_contention(error: Exception) -> bool:
    """Return True if LanceDB refused a write because of a concurrent one."""
    return _CONTENDED.search(str(error)) is not None


def is_missing(error: Exception) -> bool:
    """Return True if LanceDB did not find a table or a file of it."""
    return "ot found" in line_of_lance(error)


_Diagnosis = tuple[type[LakeError] | type[StorageUnavailable], str, str]


def _store_error(lake: Location, error: Exception, message: str) -> _Diagnosis:
    store = f"the object store {lake.endpoint}" if lake.endpoint else "Amazon S3"
    text = text_of(error)
    code, status = code_of(error), status_of(text)
    if code in REFUSALS:
        return LakeError, f"{store} refuses: {code}", REFUSALS[code]
    if isinstance(error, PermissionError):
        return LakeError, f"{store} refuses: {message}", REFUSALS["AccessDenied"]
    not_found = isinstance(error, FileNotFoundError) or status.startswith("404")
    if code == "NoSuchKey" or (not_found and not code):
        return _not_found(lake, text, store)
    if code or status:
        failure = f"{status} ({code})" if code and status else code or message
        return StorageUnavailable, f"{store} fails: {failure}", CHECK_STORE
    if _CERTIFICATE.search(text):
        certificate = f"the certificate of {lake.endpoint or store}"
        if _UNKNOWN_CA.search(text):
            todo = "Set AWS_CA_BUNDLE to a PEM file with that CA."
            return LakeError, f"{certificate} is signed by an unknown CA", todo
        todo = "Check the name in AWS_ENDPOINT_URL and the certificate's dates."
        return LakeError, f"{certificate} is not valid: {message}", todo
    if _UNREACHABLE.search(text):
        reason = f"{store} does not answer: {message}"
        return StorageUnavailable, reason, CHECK_NETWORK
    if DAMAGED.search(message):
        return FileDamaged, message, CHECK_FILES
    return StorageUnavailable, message, CHECK_STORE


def _not_found(lake: Location, text: str, store: str) -> _Diagnosis:
    """Diagnose a reply of 404: a file is missing, or the bucket or the store is.

    Replies to HEAD have no code, DuckDB does not show it, and a proxy without a store
    behind it says 404 to everything. So the store is asked again.
    """
    name = missing_object(text, lake.root)
    try:
        if name and lake.is_there() and lake.lacks(name):
            return FileDamaged, f"{name} is missing", CHECK_FILES
    except OSError as second:
        if (code := code_of(second)) in REFUSALS:
            return LakeError, f"{store} refuses: {code}", REFUSALS[code]
    return StorageUnavailable, f"{store} fails: 404 Not Found", CHECK_STORE


def _is_there(lake: Location) -> bool:
    try:
        return lake.is_there()
    except OSError:
        return False


def _folder_error(lake: Location, error: Exception, message: str) -> _Diagnosis:
    """Diagnose a file system error: permissions are final, a full disk is temporary."""
    reason = getattr(error, "strerror", None) or message
    number = number_of(error)
    if number in _FORBIDDEN or _FORBIDDEN_TEXT.search(text_of(error)):
        return LakeError, reason, CHECK_RIGHTS
    if number in _NO_FOLDER and not os.path.isdir(lake.root):
        return LakeError, reason, "Set SEMLOOP_LAKE to a folder."
    if DAMAGED.search(message):
        if _is_there(lake):
            return FileDamaged, message, CHECK_FILES
        # A file system that is not mounted leaves no folder, or an empty one.
        return StorageUnavailable, f"{message}, and no {LAYOUT_FILE}", CHECK_FOLDER
    return StorageUnavailable, reason, CHECK_FOLDER
