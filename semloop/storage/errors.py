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

REASON_CHARS_MAX = 200
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
# S3 error codes for which a retry is useless, and what to do.
REFUSALS = {
    "InvalidAccessKeyId": "Check AWS_ACCESS_KEY_ID.",
    "XAdminUserNotFound": "Check AWS_ACCESS_KEY_ID.",
    "SignatureDoesNotMatch": "Check AWS_SECRET_ACCESS_KEY and AWS_REGION.",
    "InvalidToken": "Check AWS_SESSION_TOKEN.",
    "InvalidTokenId": "Check AWS_SESSION_TOKEN.",
    "InvalidClientTokenId": "Check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN.",
    "ExpiredToken": "Get a new AWS_SESSION_TOKEN with its keys.",
    "NoSuchBucket": "Create the bucket, or set SEMLOOP_LAKE to an existing one.",
    "InvalidBucketName": "Set SEMLOOP_LAKE to s3://bucket/prefix.",
    "AccessDenied": "Grant these credentials the rights to list, read and write there.",
    "InvalidStorageClass": "Set SEMLOOP_COLD_STORAGE_CLASS to one that the store has.",
    "AuthorizationHeaderMalformed": "Set AWS_REGION to the region of the bucket.",
    "PermanentRedirect": "Set AWS_REGION to the region of the bucket.",
    "IllegalLocationConstraintException": "Set AWS_REGION to the bucket's region.",
    "RequestTimeTooSkewed": "Set the clock of this machine.",
}
# LanceDB has no error classes of its own.
LANCE_ERRORS = (ValueError, RuntimeError)
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOTDIR, errno.EISDIR}
_FORBIDDEN_TEXT = re.compile(r"Permission denied|Read-only file system")
_CONTENDED = re.compile(r"conflict|concurrent", re.IGNORECASE)
_CODE = re.compile(r"<Code>(\w+)</Code>")
_KNOWN_CODE = re.compile("|".join(rf"\b{code}\b" for code in REFUSALS))
# Errors of object stores start with a line such as `503 Service Unavailable`, then XML.
_STATUS = re.compile(r"\b[45]\d\d [A-Z][A-Za-z -]*[a-z]\b")
# Rust formats the error number of the system in two ways.
_RUST_ERROR = re.compile(r'Os \{ code: (\d+), kind: \w+, message: "([^"]*)" \}')
_ERRNO = re.compile(r" ?\(os error (\d+)\)")
# deltalake formats chains of causes with colors and arrows.
_DECORATION = re.compile(r"\x1b\[[0-9;]*m|↳")
# Stack that delta_kernel appends to an error; its last line would pass for the cause.
_BACKTRACE = re.compile(r"\n +0: .*", re.DOTALL)
# delta_kernel prints both sides of a gap in a log in Rust's debug format.
_LOG_GAP = re.compile(
    r"found gap: ParsedLogPath .*?\bversion: (\d+)\b.*\bversion: (\d+)\b.*", re.DOTALL
)
# A missing object: deltalake, obstore, DuckDB.
_MISSING = re.compile(
    r"<Key>(?P<key>[^<]+)</Key>|Object at location (?P<object>\S+) not found"
    r"|['\"](?P<url>\w+://[^'\"]+)['\"].*\b404\b",
    re.DOTALL,
)
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
# Source location of an error in Lance, and its kind.
_LANCE_LOCATION = re.compile(r",? /\S+\.rs:\d+:\d+\s*$")
_LANCE_KIND = re.compile(r"^(lance error: )?(LanceError\(IO\): )?")
# Lance prints errors of its object store in Rust's debug format.
_LANCE_INNER = re.compile(r'message: "([^"\\]*)"|kind: (Timeout)\b')
# Only these texts are about storage; other texts may quote a row.
_LANCE_STORAGE = re.compile(
    r"LanceError\(IO\)|Generic S3|store: |Not found|not found|conflict|concurrent",
)


class Location(Protocol):
    """Location of a lake; `semloop.storage.location.Storage` implements it."""

    @property
    def root(self) -> str:
        """Folder or `s3://bucket/prefix`."""

    @property
    def endpoint(self) -> str:
        """Address of the object store; empty for Amazon S3 and for folders."""


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
    message = _message(error, lake.root, lance=lance)
    kind, reason, todo = diagnose(lake, error, message)
    if lance and kind is not LakeError and is_missing(error):
        kind, reason, todo = LakeError, "the table or a file of it is missing", REINDEX
    return kind(f"Cannot {doing} in {lake.root}: {reason}.", todo)


def is_contention(error: Exception) -> bool:
    """Return True if LanceDB refused a write because of a concurrent one."""
    return _CONTENDED.search(str(error)) is not None


def is_missing(error: Exception) -> bool:
    """Return True if LanceDB did not find a table or a file of it."""
    return "ot found" in _lance_message(error)


_Diagnosis = tuple[type[LakeError] | type[StorageUnavailable], str, str]


def _store_error(lake: Location, error: Exception, message: str) -> _Diagnosis:
    store = f"the object store {lake.endpoint}" if lake.endpoint else "Amazon S3"
    text = _text(error)
    code, status = _code(error, text), _STATUS.search(text)
    if code in REFUSALS:
        return LakeError, f"{store} refuses: {code}", REFUSALS[code]
    if isinstance(error, PermissionError):
        return LakeError, f"{store} refuses: {message}", REFUSALS["AccessDenied"]
    is_missing_object = code == "NoSuchKey" or isinstance(error, FileNotFoundError)
    if is_missing_object or (status and not code and status[0].startswith("404")):
        found = _MISSING.search(text)
        name = found[found.lastgroup or 0] if found else message
        return FileDamaged, f"{name} is missing", CHECK_FILES
    if code or status:
        failure = f"{status[0]} ({code})" if code and status else code or message
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


def _folder_error(lake: Location, error: Exception, message: str) -> _Diagnosis:
    """Diagnose a file system error: permissions are final, a full disk is temporary."""
    reason = getattr(error, "strerror", None) or message
    number = _errno(error)
    if number in _FORBIDDEN or _FORBIDDEN_TEXT.search(_text(error)):
        return LakeError, reason, CHECK_RIGHTS
    if number in _NO_FOLDER and not os.path.isdir(lake.root):
        return LakeError, reason, "Set SEMLOOP_LAKE to a folder."
    if DAMAGED.search(message):
        # Without the folder, a file system may not be mounted.
        is_there = os.path.isdir(lake.root)
        return FileDamaged if is_there else StorageUnavailable, message, CHECK_FILES
    return StorageUnavailable, reason, CHECK_FOLDER


def _errno(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _ERRNO.search(_text(error))
    return int(found[1]) if found else None


def _code(error: Exception, text: str) -> str:
    """Return the S3 code from XML, from botocore's response, or from the text."""
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


def _message(error: Exception, root: str, *, lance: bool) -> str:
    """Reduce the text of an error to one line: the root cause or the HTTP status.

    Names of files are relative to the lake, as long paths would be cut off.
    """
    text = _BACKTRACE.sub("", _DECORATION.sub("", _text(error)))
    text = _LOG_GAP.sub(r"found gap between versions \1 and \2", text)
    if status := _STATUS.search(text):
        return status[0]
    if lance:
        text = _lance_message(error)
    text = text.replace(f"{root}/", "")
    lines = [line.strip() for line in text.splitlines()]
    # DuckDB appends the query and a caret.
    lines = [line for line in lines if line and not line.startswith(("LINE ", "^"))]
    # The last cause of a chain is the most specific, for example "Connection refused".
    last = _ERRNO.sub("", lines[-1]) if lines else ""
    if len(last) > REASON_CHARS_MAX:
        last = ": ".join(last.split(": ")[-2:])
    return last.strip(" .:")[:REASON_CHARS_MAX] or type(error).__name__


def _lance_message(error: Exception) -> str:
    """Reduce LanceDB's text to one line; to the class if the text may quote a row."""
    text = _text(error)
    if not _LANCE_STORAGE.search(text):
        return type(error).__name__
    if inner := _LANCE_INNER.search(text):
        return inner[1] or "operation timed out"
    return _LANCE_KIND.sub("", _LANCE_LOCATION.sub("", text)).rstrip(" .")
