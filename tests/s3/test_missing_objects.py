"""A file that the store lacks is damage; a store that is not there is an outage.

A proxy without a store behind it answers 404, too, and so does a store to HEAD without
saying what is missing.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from semloop import layout
from semloop.errors import FileDamaged, LakeError, SemLoopError, StorageUnavailable
from semloop.settings import Settings
from semloop.storage.duckdb_access import lake_reader, parquet_reader
from semloop.storage.errors import storage_errors
from semloop.storage.listing import remove_files, top_files
from semloop.storage.location import Storage
from semloop.tables import LAYOUT_FILE
from sinks.delta.create_table import create
from tests.sinks.memory_builder import vector_table
from tests.support.fault_proxy import ALWAYS, Fault, FaultProxy
from tests.support.lakes import settings_on
from tests.support.services import Broker

Step = Callable[[Storage], object]
DATA = "events/date=2026-01-01/part-1.parquet"
METHODS = "GET HEAD PUT POST DELETE"


def scan_file(storage: Storage) -> object:
    query = f"FROM read_parquet('{storage.root}/{DATA}')"
    return parquet_reader(storage).execute(query)


def scan_table(storage: Storage) -> object:
    return lake_reader(storage).execute(f"FROM delta_scan('{storage.root}/events')")


# Reads of one file, which is not there.
READS: dict[str, Step] = {
    "its size": lambda storage: storage.opener()(DATA),
    "its bytes": lambda storage: storage.objects.read(DATA),
    "by DuckDB": scan_file,
}
OTHERS: dict[str, Step] = {
    "a table by DuckDB": scan_table,
    "a table by deltalake": lambda storage: storage.open("events"),
    "memories": lambda storage: vector_table(storage, 0.1),
    "a list": top_files,
    "a small file": lambda storage: storage.read(LAYOUT_FILE),
    "a new small file": lambda storage: storage.create("new", b"x"),
    "a new file": lambda storage: storage.put(DATA, b"x"),
    "a new table": lambda storage: create(storage, "episodes"),
    "removed files": lambda storage: remove_files(storage, ["a", "b"]),
}


@pytest.fixture
def storage(
    proxy: FaultProxy, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    storage = Storage.of(settings_on(proxy.endpoint, broker, monkeypatch))
    layout.bind(storage)
    create(storage, "events")
    yield storage
    proxy.disarm()


def error_of(step: Step, storage: Storage) -> SemLoopError:
    with pytest.raises(SemLoopError) as raised, storage_errors(storage, "read it"):
        step(storage)
    return raised.value


@pytest.mark.parametrize("step", READS.values(), ids=list(READS))
def test_a_missing_object_of_a_lake_is_damage(step: Step, storage: Storage) -> None:
    error = error_of(step, storage)
    assert type(error) is FileDamaged
    assert f" in {storage.root}: {DATA} is missing." in error.what


@pytest.mark.parametrize("step", READS.values(), ids=list(READS))
def test_a_missing_object_without_a_lake_is_an_outage(
    step: Step, storage: Storage
) -> None:
    error = error_of(step, replace(storage, root=f"{storage.root}/not-mounted"))
    assert type(error) is StorageUnavailable


@pytest.mark.parametrize(
    "step", [*READS.values(), *OTHERS.values()], ids=[*READS, *OTHERS]
)
def test_a_page_in_place_of_the_store_is_an_outage(
    step: Step, storage: Storage, proxy: FaultProxy
) -> None:
    proxy.arm(Fault.NOT_FOUND, METHODS, times=ALWAYS)
    assert type(error_of(step, storage)) is StorageUnavailable


def test_a_page_in_reply_to_one_request_is_an_outage(
    storage: Storage, proxy: FaultProxy
) -> None:
    storage.put(DATA, b"content")
    for step in READS.values():
        armed = proxy.arm(Fault.NOT_FOUND, "GET HEAD", "part-1")
        assert type(error_of(step, storage)) is StorageUnavailable
        assert armed.happened
    armed = proxy.arm(Fault.NOT_FOUND, "PUT", "part-2")
    error = error_of(lambda lake: lake.put("part-2", b"x"), storage)
    assert type(error) is StorageUnavailable
    assert armed.happened


@pytest.mark.parametrize("step", READS.values(), ids=list(READS))
def test_a_missing_bucket_is_neither(step: Step, s3_settings: Settings) -> None:
    storage = replace(Storage.of(s3_settings), root="s3://missing/bucket/x")
    error = error_of(step, storage)
    assert type(error) is LakeError
    assert "refuses: NoSuchBucket." in str(error)
