"""What the error of a storage library means, and what to do about it.

deltalake, DuckDB, LanceDB and s3fs tell the same refusal in different classes and
texts; what they have in common are the codes of S3.
"""

import errno
import re

from semloop.errors import LakeError, SemLoopError, StorageUnavailable

REASON_CHARS_MAX = 200
LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}
# What LanceDB raises, whatever fails.
LANCE_ERRORS = (ValueError, RuntimeError, OSError)
CHECK_ALL = "Check SEMLOOP_LAKE, its rights and AWS_*."
# Codes of S3 and what to do; trying again changes nothing.
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
_CODE = re.compile(r"<Code>(\w+)</Code>")
# Rust's way to tell it.
_ERRNO = re.compile(r"\(os error (\d+)\)")
_KNOWN = re.compile("|".join(rf"\b{code}\b" for code in REFUSALS))
# Rust's, Python's and curl's words for it.
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
# Where in Lance's source an error came up, and whose it is.
_OF_LANCE = re.compile(r"/lance[a-z-]*-\d+\.\d+\.\d+/src/")
_LANCE_PLACE = re.compile(r",? /\S+\.rs:\d+:\d+\s*$")
_LANCE_KIND = re.compile(r"^(lance error: )?(LanceError\(IO\): )?")
# Of the errors of its objects, which it prints as they are in memory.
_LANCE_INNER = re.compile(r'message: "([^"\\]*)"|kind: (Timeout)\b')
# Only these are of storage; other texts may quote a row.
_LANCE_STORAGE = re.compile(
    r"LanceError\(IO\)|Generic S3|store: |Not found|not found|conflict|concurrent",
)


def trouble(root: str, endpoint: str, error: Exception) -> SemLoopError:
    """The error of a library about a lake, in one line what and one what to do.

    Args:
        root: folder or URL of the lake.
        endpoint: address of the object store; empty for Amazon's own and for folders.
        error: what deltalake, DuckDB, LanceDB or s3fs raised.
    """
    if not root.startswith("s3://"):
        return _of_folder(root, error)
    store = f"The object store {endpoint}" if endpoint else "Amazon S3"
    text = _text(error)
    if code := _code(error, text):
        if code in REFUSALS:
            return LakeError(f"{store} refuses {root}: {code}.", REFUSALS[code])
        return StorageUnavailable(f"{store} fails for {root}: {code}.", CHECK_ALL)
    if _CERTIFICATE.search(text):
        if _UNKNOWN_CA.search(text):
            msg = f"The certificate of {endpoint or store} is signed by an unknown CA."
            todo = "Set AWS_CA_BUNDLE to a PEM file with that CA."
        else:
            msg = f"The certificate of {endpoint or store} is not valid: "
            msg += f"{_last_words(error)}."
            todo = "Check the name in AWS_ENDPOINT_URL and the certificate's dates."
        return LakeError(msg, todo)
    if _UNREACHABLE.search(text):
        msg = f"{store} does not answer: {_last_words(error)}."
        return StorageUnavailable(msg, "Check AWS_ENDPOINT_URL and the network.")
    msg = f"The lake {root} cannot be used: {_last_words(error)}."
    return StorageUnavailable(msg, CHECK_ALL)


def lance_words(error: Exception) -> str:
    """What an error of LanceDB says, in one line; its kind, if it may quote a row."""
    text = _text(error)
    if not _LANCE_STORAGE.search(text):
        return type(error).__name__
    if inner := _LANCE_INNER.search(text):
        return inner[1] or "operation timed out"
    return _LANCE_KIND.sub("", _LANCE_PLACE.sub("", text)).rstrip(" .")


def _of_folder(root: str, error: Exception) -> SemLoopError:
    """Rights stay as they are until somebody acts; a disk may get space again."""
    reason = getattr(error, "strerror", None) or _last_words(error)
    msg = f"The lake {root} cannot be used: {reason}."
    if _errno(error) in LASTING:
        return LakeError(msg, "Check SEMLOOP_LAKE and the rights there.")
    return StorageUnavailable(msg, "Check SEMLOOP_LAKE, its disk and the rights there.")


def _errno(error: Exception) -> int | None:
    if isinstance(error, OSError):
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
    known = _KNOWN.search(text)
    return known[0] if known else ""


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


def _last_words(error: Exception) -> str:
    """Of a chain of causes the last one says most: "Connection refused"."""
    text = _text(error)
    if _OF_LANCE.search(text):
        text = lance_words(error)
    lines = [line.strip(" \t↳") for line in text.splitlines()]
    # DuckDB ends with the query and an arrow under it.
    lines = [line for line in lines if line and not line.startswith(("LINE ", "^"))]
    last = re.sub(r"\x1b\[\d+m|\(os error \d+\)", "", lines[-1] if lines else "")
    return last.strip(" \t↳.:")[:REASON_CHARS_MAX] or type(error).__name__
