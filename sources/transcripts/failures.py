"""Whether the result of a tool says that the call failed.

Signs are read in this order: a flag, a status or an exit code in a result that is a
JSON object; an exception of a known shape; at last, and only if asked for, a text that
begins with "Error:".
"""

import re

import msgspec

TOOL_ERROR = "tool_error"
# A flag of these decides, also that the call succeeded.
FAILED_FLAGS = ("isError", "is_error")
SUCCESS_FLAGS = ("success", "ok", "succeeded")
EXIT_CODES = ("exit_code", "exitCode", "exit_status", "returncode", "return_code")
STATUS_CODES = ("status_code", "statusCode", "http_status")
ERRORS = ("error", "errors", "exception", "errorMessage", "error_message")
# NOTE: not "cancelled", which is as often the state of an order or a flight.
FAILED_STATUS = frozenset(
    ["error", "failed", "failure", "errored", "timeout", "timed_out"]
)
# Objects that contain the result of a command next to its metadata.
INSIDE = ("metadata", "meta", "extras")
HTTP_ERROR_MIN = 400
# A longer text is a document rather than the report of a failure.
OBJECT_CHARS_MAX = 2**20
# Where an exception ends in a text: its last lines.
TAIL_CHARS = 2_000

_decode = msgspec.json.Decoder().decode
_exception = r"((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt))"
_begins_exception = re.compile(rf"(?:Uncaught )?{_exception}(?:: |\n|$)").match
_begins_java = re.compile(rf'Exception in thread "[^"\n]*" {_exception}').match
_begins_panic = re.compile(r"(?:panic: |thread '[^'\n]*' panicked at )").match
_last_line = re.compile(r"^([A-Za-z_][\w.]*)(?:: .*|$)", re.MULTILINE).match
_begins_exit = re.compile(
    r"\s*(?:Exit code:?|Process exited with code|<returncode>|\[exit code:?)"
    r" ?(-?\d{1,9})"
).match
_begins_error = re.compile(
    r"\s*(?:<error>|<tool_use_error>|(?:Error|ERROR)"
    r"(?:$|:|\s+(?:while|when|during|calling|executing|invoking|running|in tool)\b))"
).match
_TRACEBACK = "Traceback (most recent call last)"


def failure_of(result: object, *, guess: bool = True) -> str | None:
    """Return the type of error that a result reports; None if it reports none.

    Args:
        result: the result of a call, a text or any JSON value.
        guess: whether a text that begins with "Error:" is one.
    """
    if isinstance(result, dict):
        return _in_object(result, 1)
    if not isinstance(result, str):
        return None
    start = result[:1]
    if start == "{" or (start.isspace() and result.lstrip()[:1] == "{"):
        found = _object(result)
        if found is not None:
            return _in_object(found, 1)
    return _in_text(result, guess=guess)


def _object(text: str) -> dict[str, object] | None:
    if len(text) > OBJECT_CHARS_MAX:
        return None
    try:
        value = _decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _in_object(value: dict[str, object], inner: int) -> str | None:
    for name in FAILED_FLAGS:
        if isinstance(flag := value.get(name), bool):
            return TOOL_ERROR if flag else None
    # 0, false, "" and [] say that there is no error.
    signs = (
        any(value.get(name) is False for name in SUCCESS_FLAGS),
        any(value.get(name) for name in ERRORS),
        any(_number(value.get(name)) for name in EXIT_CODES),
        any(_number(value.get(name)) >= HTTP_ERROR_MIN for name in STATUS_CODES),
    )
    if any(signs):
        return TOOL_ERROR
    status = value.get("status")
    if isinstance(status, str) and status.lower() in FAILED_STATUS:
        return TOOL_ERROR
    for name in INSIDE if inner else ():
        if isinstance(found := value.get(name), dict) and _in_object(found, 0):
            return TOOL_ERROR
    return None


def _number(value: object) -> int:
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.removeprefix("-").isdecimal():
        return int(value[:9])
    return 0


def _in_text(text: str, *, guess: bool) -> str | None:
    if found := _begins_exit(text):
        return TOOL_ERROR if int(found[1]) else None
    head = text[:300].lstrip()
    if _TRACEBACK in text and (error := _traceback(head, text)):
        return error
    for match in (_begins_exception(head), _begins_java(head)):
        if match:
            return str(match[1])[-200:]
    if _begins_panic(head):
        return "panic"
    return TOOL_ERROR if guess and _begins_error(head) else None


def _traceback(head: str, text: str) -> str | None:
    """Return the exception of a traceback that is all of a text, or its end."""
    lines = text[-TAIL_CHARS:].rstrip().splitlines()
    last = lines[-1] if lines else ""
    named = _begins_exception(last)
    if head.startswith(_TRACEBACK):
        if named:
            return str(named[1])[-200:]
        if inline := re.search(rf"(?<![\w.]){_exception}(?=:|\s|$)", text):
            return inline[1][-200:]
        own = _last_line(last) if len(lines) > 1 else None
        return own[1][-200:] if own else TOOL_ERROR
    return str(named[1])[-200:] if named else None
