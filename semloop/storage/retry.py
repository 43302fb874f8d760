"""Storage that fails: what it said, in one line, and how long to try again.

deltalake raises `DeltaError` or `OSError`, DuckDB its own errors, pyarrow and s3fs
`OSError`, LanceDB `RuntimeError` and `ValueError`; callers see `StorageUnavailable`
whichever of them was asked, or `LakeError` where trying again changes nothing.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import duckdb
import stamina
from deltalake.exceptions import DeltaError

from semloop.errors import LakeError, StorageUnavailable
from semloop.storage.errors import LANCE_ERRORS, REFUSALS, lance_words

R = TypeVar("R")
# DuckDB calls a Parquet file that ends too early an invalid input.
READ_ERRORS = (DeltaError, OSError, duckdb.IOException, duckdb.InvalidInputException)
CHECK_STORAGE = "Check disk space and the object store."
CHECK_RIGHTS = "Check SEMLOOP_LAKE, and that this user or key may write there."
REINDEX = "Run `semloop maintain reindex`: it fills a new table from the lake."
REASON_CHARS_MAX = 200
# The longest pause between two tries: what storage takes again, it gets soon after.
WAIT_MAX_S = 2.0

# deltalake draws chains of causes in colour.
_DRAWN = re.compile(r"\x1b\[[0-9;]*m|↳")
# How object stores refuse: `503 Service Unavailable`, then XML with a code.
_STATUS = re.compile(r"\b[45]\d\d [A-Z][A-Za-z -]*[a-z]\b")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_CONTENDED = re.compile(r"conflict|concurrent", re.IGNORECASE)
_FORBIDDEN = re.compile(r"Permission denied|Read-only file system")


def unavailable(what: str, error: Exception) -> StorageUnavailable | LakeError:
    """The error that callers see; `what`, such as "Table events cannot be read"."""
    text = str(error)
    said = f"{what}: {reason(error)}"
    code = _CODE.search(text)
    if code and code[1] in REFUSALS:
        return LakeError(said, REFUSALS[code[1]])
    if isinstance(error, PermissionError) or _FORBIDDEN.search(text):
        return LakeError(said, CHECK_RIGHTS)
    return StorageUnavailable(said, CHECK_STORAGE)


def reason(error: Exception) -> str:
    """What storage said, in one line, without those who only passed it on."""
    text = _DRAWN.sub("", str(error)).strip()
    if status := _STATUS.search(text):
        code = _CODE.search(text)
        return f"{status[0]} ({code[1]})" if code else status[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # Of such a chain of causes the last one says most: "No space left on device".
    said = lines[-1] if lines else type(error).__name__
    if len(said) > REASON_CHARS_MAX:
        said = ": ".join(said.split(": ")[-2:])
    return said[:REASON_CHARS_MAX]


@contextmanager
def reading(table: str) -> Iterator[None]:
    """Inside, a table is read.

    Raises:
        StorageUnavailable: it cannot be. LakeError: it never will.
    """
    try:
        yield
    except READ_ERRORS as error:
        what = f"Table {table} cannot be read"
        raise unavailable(what, error) from error


@contextmanager
def answering(
    what: str, failed: Callable[[str], None] = lambda cause: None
) -> Iterator[None]:
    """Inside, LanceDB is asked.

    Args:
        what: such as "Table memories cannot be read".
        failed: told the cause, `contention` or `storage`, before the error is raised.

    Raises:
        StorageUnavailable: it does not answer. LakeError: it never will.
    """
    try:
        yield
    except LANCE_ERRORS as error:
        contended = _CONTENDED.search(str(error))
        failed("contention" if contended else "storage")
        # Not `from error`: its text may quote a row.
        raise _of_lance(what, error) from None


def _of_lance(what: str, error: Exception) -> StorageUnavailable | LakeError:
    text, words = str(error), lance_words(error)
    code = _CODE.search(text)
    if code and code[1] in REFUSALS:
        return LakeError(f"{what}: {code[1]}", REFUSALS[code[1]])
    if _FORBIDDEN.search(text):
        return LakeError(f"{what}: {words[:REASON_CHARS_MAX]}", CHECK_RIGHTS)
    if "ot found" in words:
        return LakeError(f"{what}: it is gone, or a part of it.", REINDEX)
    said = reason(error) if _STATUS.search(text) else words[:REASON_CHARS_MAX]
    return StorageUnavailable(f"{what}: {said}", CHECK_STORAGE)


def patiently(step: Callable[[], R], retry_s: float) -> R:
    """Do a step again while storage is not available, for so long.

    Raises:
        StorageUnavailable: the step's own, when the time is over.
    """
    caller = stamina.RetryingCaller(
        attempts=None,
        timeout=retry_s,
        wait_initial=0.02,
        wait_max=WAIT_MAX_S,
        wait_jitter=0.05,
    )
    try:
        return caller(StorageUnavailable, step)
    except StorageUnavailable as error:
        msg = f"{error.what} (tried for {retry_s:g} s)"
        raise StorageUnavailable(msg, error.todo) from error
