"""Translation of storage library errors: which classes, which text, what is hidden."""

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

from semloop.errors import FileDamaged, LakeError, StorageUnavailable, TakenOver
from semloop.storage.error_texts import REFUSALS
from semloop.storage.errors import (
    LANCE_ERRORS,
    storage_errors,
    table_errors,
    translate,
)

PRIVATE = "private text"
READING = "read table memories"

# Classes that are not about storage but about a wrong query, value or use, or a defect.
# They pass through unchanged.
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
    """A lake in a local folder."""

    root: str = "/data/lake"
    endpoint: str = ""
    has_layout: bool = True

    def is_there(self) -> bool:
        return self.has_layout

    def lacks(self, name: str) -> bool:
        return True


@dataclass(frozen=True)
class Bucket(Folder):
    """A lake in an object store."""

    root: str = "s3://bucket/lake"
    endpoint: str = "https://store:9000"


STORE = f"the object store {Bucket.endpoint}"


def exported(module: ModuleType) -> dict[str, type[Exception]]:
    """Return the error classes of a module that are not Python built-ins."""
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
def test_every_error_class_of_a_library_is_translated_or_listed_as_unrelated(
    module: ModuleType,
) -> None:
    translated = table_errors()
    if module.__name__.startswith("lancedb"):
        translated += LANCE_ERRORS
    classes = exported(module)
    passed_on = {
        name for name, kind in classes.items() if not issubclass(kind, translated)
    }
    assert classes
    assert passed_on == OTHERS.get(module.__name__, set())


def test_a_failure_has_the_same_text_from_every_library() -> None:
    errors = [
        OSError(errno.ENOSPC, "No space left on device", "/data/lake/events/part"),
        DeltaError("Failed to write\n\x1b[31m↳\x1b[0m No space left on device (os error 28)"),
        duckdb.IOException("IO Error: x\nNo space left on device\nLINE 1: FROM y\n^"),
    ]  # fmt: skip
    texts = {str(translate(Folder(), "read table events", e)) for e in errors}
    assert texts == {
        "Cannot read table events in /data/lake: No space left on device.\n"
        "Check SEMLOOP_LAKE, its disk space and its permissions."
    }


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_by_an_object_store_is_final_with_advice(code: str) -> None:
    error = DeltaError(f"403 Forbidden: <Error><Code>{code}</Code></Error>")
    translated = translate(Bucket(), "commit to table events", error)
    assert isinstance(translated, LakeError)
    what = f"Cannot commit to table events in {Bucket.root}: {STORE} refuses: {code}."
    assert (translated.what, translated.todo) == (what, REFUSALS[code])


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
def test_other_failures_of_an_object_store_are_temporary(
    text: str, reason: str
) -> None:
    translated = translate(Bucket(), "read table events", DeltaError(text))
    assert isinstance(translated, StorageUnavailable)
    assert translated.what == f"Cannot read table events in {Bucket.root}: {reason}."
    assert translated.todo


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EROFS, "Read-only file system"),
        DeltaError("Failed\n↳ Permission denied (os error 13)"),
    ],
)
def test_missing_permissions_are_final(error: Exception) -> None:
    translated = translate(Folder(), "commit to table events", error)
    assert isinstance(translated, LakeError)
    assert "may read and write" in translated.todo


def test_errors_name_amazon_s3_if_no_endpoint_is_set() -> None:
    lake = Bucket(endpoint="")
    error = DeltaError("operation timed out")
    translated = translate(lake, "read table events", error)
    assert ": Amazon S3 does not answer: " in translated.what


def test_our_errors_and_errors_unrelated_to_storage_pass_through_unchanged() -> None:
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


def test_errors_of_lance_are_translated_only_with_lance_set() -> None:
    with pytest.raises(RuntimeError), storage_errors(Folder(), READING):
        raise RuntimeError(PRIVATE)
    with (
        pytest.raises(StorageUnavailable) as raised,
        storage_errors(Folder(), READING, lance=True),
    ):
        raise RuntimeError(PRIVATE)
    assert (
        raised.value.what == "Cannot read table memories in /data/lake: RuntimeError."
    )


def test_a_text_of_lance_that_may_quote_a_row_is_neither_shown_nor_the_cause() -> None:
    text = f"lance error: Invalid user input: {PRIVATE}, /lance-8.0.0/src/a.rs:1:2"
    for error in (ValueError(text), OSError(text), RuntimeError(text)):
        with (
            pytest.raises(StorageUnavailable) as raised,
            storage_errors(Folder(), READING, lance=True),
        ):
            raise error
        assert PRIVATE not in str(raised.value)
        assert raised.value.__cause__ is None


def test_the_error_for_missing_memories_advises_a_reindex() -> None:
    error = RuntimeError(
        "lance error: Not found: /data/lake/x.lance, /lance-8/src/a.rs:1:2"
    )
    translated = translate(Folder(), READING, error, lance=True)
    assert isinstance(translated, LakeError)
    assert "maintain reindex" in translated.todo


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Kernel error: Json error: Truncated record whilst reading object\n"
            "   0: <unknown>\n  12: start_thread\n"
            "             at ./nptl/pthread_create.c:442:8\n",
            "Kernel error: Json error: Truncated record whilst reading object",
        ),
        (
            "Kernel error: Expected contiguous commit files, but found gap: "
            'ParsedLogPath { location: Url { scheme: "file" }, version: 2, '
            "file_type: Commit } -> ParsedLogPath { version: 14, file_type: Commit }",
            "Kernel error: Expected contiguous commit files, but found gap between "
            "versions 2 and 14",
        ),
        ("Not found\n\u21b3 No such file (os error 2)", "No such file"),
    ],
    ids=["cut", "gap", "missing"],
)
@pytest.mark.parametrize("lake", [Folder(), Bucket()])
def test_a_damaged_file_is_named_with_the_command_that_finds_all(
    lake: Folder | Bucket, text: str, reason: str
) -> None:
    translated = translate(lake, "read table events", DeltaError(text))
    assert translated.what == f"Cannot read table events in {lake.root}: {reason}."
    assert "`semloop maintain check`" in translated.todo


def test_an_empty_folder_is_an_outage_since_its_disk_may_not_be_mounted() -> None:
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory")
    damaged = translate(Folder(), "read table events", missing)
    assert type(damaged) is FileDamaged
    outage = translate(Folder(has_layout=False), "read table events", missing)
    assert type(outage) is StorageUnavailable
    assert outage.what.endswith("No such file or directory, and no _layout.json.")


def test_memories_missing_in_an_empty_folder_are_an_outage() -> None:
    error = RuntimeError("lance error: Not found: /data/lake/x.lance")
    translated = translate(Folder(has_layout=False), READING, error, lance=True)
    assert type(translated) is StorageUnavailable
