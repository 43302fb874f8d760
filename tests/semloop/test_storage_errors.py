"""Errors of the storage libraries as ours: which classes, which text, what is hidden."""

import builtins
import errno
import inspect
from dataclasses import dataclass
from types import ModuleType

import deltalake.exceptions
import duckdb
import lancedb.exceptions
import lancedb.remote.errors
import pyarrow.lib
import pytest
from deltalake.exceptions import DeltaError

from semloop.errors import LakeError, StorageUnavailable, TakenOver
from semloop.storage.errors import (
    LANCE_ERRORS,
    REFUSALS,
    storage_errors,
    table_errors,
    translate,
)

PRIVATE = "tell nobody"
READING = "read table memories"

# Classes that say nothing of storage: a wrong query, value or use, or a defect. They
# pass through unchanged.
OTHERS = {
    "duckdb": {
        "BinderException", "CatalogException", "ConnectionException",
        "ConstraintException", "ConversionException", "DataError", "DatabaseError",
        "DependencyException", "Error", "FatalException", "IntegrityError",
        "InternalError", "InternalException", "InterruptException",
        "InvalidTypeException", "NotImplementedException", "NotSupportedError",
        "OperationalError", "OutOfMemoryException", "OutOfRangeException",
        "ParserException", "PermissionException", "ProgrammingError",
        "SequenceException", "SerializationException", "SyntaxException",
        "TransactionException", "TypeMismatchException", "Warning",
    },
    "pyarrow.lib": {
        "ArrowException", "ArrowCancelled", "ArrowCapacityError", "ArrowIndexError",
        "ArrowKeyError", "ArrowMemoryError", "ArrowNotImplementedError",
        "ArrowSerializationError", "ArrowTypeError", "QueueEmpty",
    },
    "lancedb.exceptions": {"MissingColumnError"},
}  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """A lake on a disk."""

    root: str = "/data/lake"
    endpoint: str = ""


@dataclass(frozen=True)
class Bucket:
    """A lake in an object store."""

    root: str = "s3://bucket/lake"
    endpoint: str = "https://store:9000"


STORE = f"the object store {Bucket.endpoint}"


def exported(module: ModuleType) -> dict[str, type[Exception]]:
    """The error classes of a module that are not Python's own."""
    return {
        name: kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind not in vars(builtins).values()
    }


@pytest.mark.parametrize(
    "module",
    [deltalake.exceptions, duckdb, pyarrow.lib, lancedb.exceptions,
     lancedb.remote.errors],
    ids=lambda module: module.__name__,
)  # fmt: skip
def test_every_error_class_of_a_library_is_translated_or_known_to_be_none(
    module: ModuleType,
) -> None:
    translated = table_errors()
    if module.__name__.startswith("lancedb"):
        translated += LANCE_ERRORS
    found = exported(module)
    passed_on = {
        name for name, kind in found.items() if not issubclass(kind, translated)
    }
    assert found
    assert passed_on == OTHERS.get(module.__name__, set())


def test_one_failure_has_one_text_whichever_library_reports_it() -> None:
    reported = [
        OSError(errno.ENOSPC, "No space left on device", "/data/lake/events/part"),
        DeltaError("Failed to write\n\x1b[31m↳\x1b[0m No space left on device (os error 28)"),
        duckdb.IOException("IO Error: x\nNo space left on device\nLINE 1: FROM y\n^"),
    ]  # fmt: skip
    texts = {str(translate(Folder(), "read table events", e)) for e in reported}
    assert texts == {
        "Cannot read table events in /data/lake: No space left on device.\n"
        "Check SEMLOOP_LAKE, its disk space and the rights there."
    }


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_of_an_object_store_is_final_and_says_what_to_do(code: str) -> None:
    error = DeltaError(f"403 Forbidden: <Error><Code>{code}</Code></Error>")
    found = translate(Bucket(), "commit to table events", error)
    assert isinstance(found, LakeError)
    what = f"Cannot commit to table events in {Bucket.root}: {STORE} refuses: {code}."
    assert (found.what, found.todo) == (what, REFUSALS[code])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("503 Service Unavailable: <Error><Code>SlowDown</Code></Error>", f"{STORE} fails: 503 Service Unavailable (SlowDown)"),
        ("server error 500 Internal Server Error", f"{STORE} fails: 500 Internal Server Error"),
        ("error sending request\n↳ Connection refused (os error 111)", f"{STORE} does not answer: Connection refused"),
        ("operation timed out", f"{STORE} does not answer: operation timed out"),
        ("checksum does not match.", "checksum does not match"),
    ],
)  # fmt: skip
def test_what_may_pass_at_an_object_store_is_worth_another_try(
    text: str, reason: str
) -> None:
    found = translate(Bucket(), "read table events", DeltaError(text))
    assert isinstance(found, StorageUnavailable)
    assert found.what == f"Cannot read table events in {Bucket.root}: {reason}."
    assert found.todo


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EROFS, "Read-only file system"),
        DeltaError("Failed\n↳ Permission denied (os error 13)"),
    ],
)
def test_missing_rights_are_final(error: Exception) -> None:
    found = translate(Folder(), "commit to table events", error)
    assert isinstance(found, LakeError)
    assert "rights" in found.todo or "may read and write" in found.todo


def test_amazon_itself_is_named_where_no_endpoint_is_set() -> None:
    lake = Bucket(endpoint="")
    found = translate(lake, "read table events", DeltaError("operation timed out"))
    assert ": Amazon S3 does not answer: " in found.what


def test_an_error_of_ours_and_a_mistake_pass_through_unchanged() -> None:
    for error in (
        TakenOver("Another one."),
        KeyError("x"),
        duckdb.BinderException("x"),
    ):
        with (
            pytest.raises(type(error)) as passed,
            storage_errors(Folder(), "read table events"),
        ):
            raise error
        assert passed.value is error


def test_an_error_of_lance_is_translated_only_where_lance_is_called() -> None:
    with pytest.raises(RuntimeError), storage_errors(Folder(), READING):
        raise RuntimeError(PRIVATE)
    with (
        pytest.raises(StorageUnavailable) as found,
        storage_errors(Folder(), READING, lance=True),
    ):
        raise RuntimeError(PRIVATE)
    assert found.value.what == "Cannot read table memories in /data/lake: RuntimeError."


def test_no_text_of_lance_that_may_quote_a_row_is_text_or_cause() -> None:
    text = f"lance error: Invalid user input: {PRIVATE}, /lance-8.0.0/src/a.rs:1:2"
    for error in (ValueError(text), OSError(text), RuntimeError(text)):
        with (
            pytest.raises(StorageUnavailable) as found,
            storage_errors(Folder(), READING, lance=True),
        ):
            raise error
        assert PRIVATE not in str(found.value)
        assert found.value.__cause__ is None


def test_memories_that_are_gone_are_made_again_by_reindex() -> None:
    error = RuntimeError(
        "lance error: Not found: /data/lake/x.lance, /lance-8/src/a.rs:1:2"
    )
    found = translate(Folder(), READING, error, lance=True)
    assert isinstance(found, LakeError)
    assert "maintain reindex" in found.todo
