"""Reads errors of storage libraries: codes, numbers, names, one line of text."""

import re

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
REASON_CHARS_MAX = 200
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
# Requests that a missing object does not make fail: obstore, deltalake, Lance.
_WRITING = re.compile(r"(Error performing|method:) (PUT|POST|DELETE)\b")
# Source location of an error in Lance, and its kind.
_LANCE_LOCATION = re.compile(r",? /\S+\.rs:\d+:\d+\s*$")
_LANCE_KIND = re.compile(r"^(lance error: )?(LanceError\(IO\): )?")
# Lance prints errors of its object store in Rust's debug format.
_LANCE_INNER = re.compile(r'message: "([^"\\]*)"|kind: (Timeout)\b')
# Only these texts are about storage; other texts may quote a row.
_LANCE_STORAGE = re.compile(
    r"LanceError\(IO\)|Generic S3|store: |Not found|not found|conflict|concurrent",
)


def text_of(error: Exception) -> str:
    """Return the text of an error, or its class; numbers of the system in one form."""
    text = str(error) or type(error).__name__
    return _RUST_ERROR.sub(r"\2 (os error \1)", text)


def number_of(error: Exception) -> int | None:
    """Return the error number of the system, if the error has one."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _ERRNO.search(text_of(error))
    return int(found[1]) if found else None


def code_of(error: Exception) -> str:
    """Return the S3 code from XML, from botocore's response, or from the text."""
    text = text_of(error)
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


def status_of(text: str) -> str:
    """Return the status of an HTTP reply, such as `404 Not Found`; or nothing."""
    found = _STATUS.search(text)
    return found[0] if found else ""


def is_absent(error: Exception) -> bool:
    """Return True if an object store says that it has no such object.

    Only S3's code says so: a proxy with no store behind it may say 404, too.
    """
    return code_of(error) == "NoSuchKey"


def missing_object(text: str, root: str) -> str:
    """Return which object a reply of 404 is about: its name in the lake.

    Empty if it is about no object, or about a request that writes.

    Args:
        text: of the error.
        root: `s3://bucket/prefix` of the lake.
    """
    found = _MISSING.search(text)
    if found is None or _WRITING.search(text):
        return ""
    _, _, prefix = root.removeprefix("s3://").partition("/")
    place = found[found.lastgroup or 0].removeprefix(f"{root}/")
    return place.removeprefix(f"{prefix}/") if prefix else place


def line_of(error: Exception, root: str, *, lance: bool) -> str:
    """Reduce the text of an error to one line: the root cause or the HTTP status.

    Names of files are relative to the lake, as long paths would be cut off.
    """
    text = _BACKTRACE.sub("", _DECORATION.sub("", text_of(error)))
    text = _LOG_GAP.sub(r"found gap between versions \1 and \2", text)
    if status := _STATUS.search(text):
        return status[0]
    if lance:
        text = line_of_lance(error)
    text = text.replace(f"{root}/", "")
    lines = [line.strip() for line in text.splitlines()]
    # DuckDB appends the query and a caret.
    lines = [line for line in lines if line and not line.startswith(("LINE ", "^"))]
    # The last cause of a chain is the most specific, for example "Connection refused".
    last = _ERRNO.sub("", lines[-1]) if lines else ""
    if len(last) > REASON_CHARS_MAX:
        last = ": ".join(last.split(": ")[-2:])
    return last.strip(" .:")[:REASON_CHARS_MAX] or type(error).__name__


def line_of_lance(error: Exception) -> str:
    """Reduce LanceDB's text to one line; to the class if the text may quote a row."""
    text = text_of(error)
    if not _LANCE_STORAGE.search(text):
        return type(error).__name__
    if inner := _LANCE_INNER.search(text):
        return inner[1] or "operation timed out"
    return _LANCE_KIND.sub("", _LANCE_LOCATION.sub("", text)).rstrip(" .")
