"""Turns errors of the storage libraries into ours: what failed, why, and what to do.

deltalake, DuckDB, pyarrow, s3fs and LanceDB report the same failure by different
classes and texts. They share the codes of S3 and the error numbers of the system.
"""

import errno
import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from semloop.errors import LakeError, SemLoopError, StorageUnavailable

REASON_CHARS_MAX = 200
CHECK_FOLDER = "Check SEMLOOP_LAKE, its disk space and the rights there."
CHECK_RIGHTS = "Check SEMLOOP_LAKE, and that this user or key may read and write there."
CHECK_STORE = "Check the object store, SEMLOOP_LAKE, its rights and AWS_*."
CHECK_NETWORK = "Check AWS_ENDPOINT_URL and the network."
REINDEX = "Run `semloop maintain reindex`: it fills a new table from the lake."
# Codes of S3 and what to do; a retry changes nothing.
REFUSALS = {
    "InvalidAccessKeyId": "Check AWS_ACCESS_KEY_ID.",
    "XAdminUserNotFound": "Check AWS_ACCESS_KEY_ID.",
    "SignatureDoesNotMatch": "Check AWS_SECRET_ACCESS_KEY and AWS_REGION.",
    "InvalidToken": "Check AWS_SESSION_TOKEN.",
    "InvalidTokenId": "Check AWS_SESSION_TOKEN.",
    "InvalidClientTokenId": "Check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN.",
    "ExpiredToken": "Get a new AWS_SESSION_TOKEN with its keys.",
    "NoSuchBucket": "Make the bucket, or set SEMLOOP_LAKE to one that is there.",
    "InvalidBucketName": "Set SEMLOOP_LAKE to s3://bucket/prefix.",
    "AccessDenied": "Give these credentials the rights to list, read and write there.",
    "AuthorizationHeaderMalformed": "Set AWS_REGION to the region of the bucket.",
    "PermanentRedirect": "Set AWS_REGION to the region of the bucket.",
    "IllegalLocationConstraintException": "Set AWS_REGION to that of the bucket.",
    "RequestTimeTooSkewed": "Set the clock of this machine.",
}
# LanceDB has no classes of its own.
LANCE_ERRORS = (ValueError, RuntimeError)
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOTDIR, errno.EISDIR}
_FORBIDDEN_WORDS = re.compile(r"Permission denied|Read-only file system")
_CONTENDED = re.compile(r"conflict|concurrent", re.IGNORECASE)
_CODE = re.compile(r"<Code>(\w+)</Code>")
_KNOWN_CODE = re.compile("|".join(rf"\b{code}\b" for code in REFUSALS))
# Object stores refuse by a line such as `503 Service Unavailable`, then XML.
_STATUS = re.compile(r"\b[45]\d\d [A-Z][A-Za-z -]*[a-z]\b")
# Rust writes the error number of the system in two ways.
_RUST_ERROR = re.compile(r'Os \{ code: (\d+), kind: \w+, message: "([^"]*)" \}')
_ERRNO = re.compile(r" ?\(os error (\d+)\)")
# deltalake draws chains of causes in colour.
_DRAWN = re.compile(r"\x1b\[[0-9;]*m|↳")
# The words of Rust, Python and curl.
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
# The place in Lance's source where an error arose, and its kind.
_LANCE_PLACE = re.compile(r",? /\S+\.rs:\d+:\d+\s*$")
_LANCE_KIND = re.compile(r"^(lance error: )?(LanceError\(IO\): )?")
# Lance prints the errors of its object store as they are in memory.
_LANCE_INNER = re.compile(r'message: "([^"\\]*)"|kind: (Timeout)\b')
# Only these texts are about storage; others may quote a row.
_LANCE_STORAGE = re.compile(
    r"LanceError\(IO\)|Generic S3|store: |Not found|not found|conflict|concurrent",
)


class Location(Protocol):
    """Where a lake is; `semloop.storage.location.Storage` is one."""

    @property
    def root(self) -> str:
        """Folder or `s3://bucket/prefix`."""

    @property
    def endpoint(self) -> str:
        """Address of the object store; empty for Amazon's own and for folders."""


@contextmanager
def storage_errors(
    lake: Location, doing: str, *, lance: bool = False
) -> Iterator[None]:
    """Raise the errors of the storage libraries in this block as ours.

    Args:
        lake: where the lake is.
        doing: what the block does, such as "read table events".
        lance: the block calls LanceDB, whose errors are plain ValueErrors and
            RuntimeErrors.

    Raises:
        StorageUnavailable: it fails now. LakeError: a retry changes nothing.
    """
    try:
        yield
    except SemLoopError:
        raise
    except Exception as error:
        known = table_errors()
        if not isinstance(error, (*known, *LANCE_ERRORS) if lance else known):
            raise
        # LanceDB's text may quote a row, so it is no cause.
        cause = None if lance else error
        raise translate(lake, doing, error, lance=lance) from cause


@functools.cache
def table_errors() -> tuple[type[Exception], ...]:
    """What the libraries raise when files of a table cannot be read or written.

    tests/semloop/test_storage_errors.py names every other class that they export.
    """
    import duckdb
    import pyarrow as pa
    from deltalake.exceptions import DeltaError

    object_store = (OSError,)  # Also of the file system.
    delta = (DeltaError,)
    # Of a Parquet file that ends too early both say that the input is invalid.
    queries = (duckdb.IOException, duckdb.InvalidInputException)
    arrow = (pa.ArrowInvalid,)
    return (*object_store, *delta, *queries, *arrow)


def translate(
    lake: Location, doing: str, error: Exception, *, lance: bool = False
) -> LakeError | StorageUnavailable:
    """The error of a library as one of ours, in one line what and one line what to do.

    Args:
        lake: where the lake is.
        doing: what failed, such as "commit to table events".
        error: of a library.
        lance: LanceDB raised it.
    """
    of_root = _of_store if lake.root.startswith("s3://") else _of_folder
    kind, reason, todo = of_root(lake, error, _words(error, lance=lance))
    if lance and kind is StorageUnavailable and "ot found" in _lance_words(error):
        kind, reason, todo = LakeError, "it is gone, or a part of it", REINDEX
    return kind(f"Cannot {doing} in {lake.root}: {reason}.", todo)


def is_contention(error: Exception) -> bool:
    """Whether LanceDB refuses a write because another writer was quicker."""
    return _CONTENDED.search(str(error)) is not None


_Diagnosis = tuple[type[LakeError] | type[StorageUnavailable], str, str]


def _of_store(lake: Location, error: Exception, words: str) -> _Diagnosis:
    store = f"the object store {lake.endpoint}" if lake.endpoint else "Amazon S3"
    text = _text(error)
    code, status = _code(error, text), _STATUS.search(text)
    if code in REFUSALS:
        return LakeError, f"{store} refuses: {code}", REFUSALS[code]
    if isinstance(error, PermissionError):
        return LakeError, f"{store} refuses: {words}", REFUSALS["AccessDenied"]
    if code or status:
        failure = f"{status[0]} ({code})" if code and status else code or words
        return StorageUnavailable, f"{store} fails: {failure}", CHECK_STORE
    if _CERTIFICATE.search(text):
        of = f"the certificate of {lake.endpoint or store} is"
        if _UNKNOWN_CA.search(text):
            todo = "Set AWS_CA_BUNDLE to a PEM file with that CA."
            return LakeError, f"{of} signed by an unknown CA", todo
        todo = "Check the name in AWS_ENDPOINT_URL and the certificate's dates."
        return LakeError, f"{of} not valid: {words}", todo
    if _UNREACHABLE.search(text):
        reason = f"{store} does not answer: {words}"
        return StorageUnavailable, reason, CHECK_NETWORK
    return StorageUnavailable, words, CHECK_STORE


def _of_folder(lake: Location, error: Exception, words: str) -> _Diagnosis:
    """Rights stay as they are until a person acts; a disk may get space again."""
    reason = getattr(error, "strerror", None) or words
    number = _errno(error)
    if number in _FORBIDDEN or _FORBIDDEN_WORDS.search(_text(error)):
        return LakeError, reason, CHECK_RIGHTS
    if number in _NO_FOLDER and not os.path.isdir(lake.root):
        return LakeError, reason, "Set SEMLOOP_LAKE to a folder."
    return StorageUnavailable, reason, CHECK_FOLDER


def _errno(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _ERRNO.search(_text(error))
    return int(found[1]) if found else None


def _code(error: Exception, text: str) -> str:
    """The code of S3: in XML, in the response that botocore keeps, or in words."""
    if found := _CODE.search(text):
        return found[1]
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return str(response["Error"].get("Code", ""))
        cause = cause.__cause__
    known = _KNOWN_CODE.search(text)
    return known[0] if known else ""


def _text(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return _RUST_ERROR.sub(r"\2 (os error \1)", text)


def _words(error: Exception, *, lance: bool) -> str:
    """What the library says in one line, without those who only passed it on."""
    text = _DRAWN.sub("", _text(error))
    if status := _STATUS.search(text):
        return status[0]
    if lance:
        text = _lance_words(error)
    lines = [line.strip() for line in text.splitlines()]
    # DuckDB ends with the query and an arrow under it.
    lines = [line for line in lines if line and not line.startswith(("LINE ", "^"))]
    # Of a chain of causes the last one says most: "Connection refused".
    last = _ERRNO.sub("", lines[-1]) if lines else ""
    if len(last) > REASON_CHARS_MAX:
        last = ": ".join(last.split(": ")[-2:])
    return last.strip(" .:")[:REASON_CHARS_MAX] or type(error).__name__


def _lance_words(error: Exception) -> str:
    """What LanceDB says in one line; only the kind of an error that may quote a row."""
    text = _text(error)
    if not _LANCE_STORAGE.search(text):
        return type(error).__name__
    if inner := _LANCE_INNER.search(text):
        return inner[1] or "operation timed out"
    return _LANCE_KIND.sub("", _LANCE_PLACE.sub("", text)).rstrip(" .")
