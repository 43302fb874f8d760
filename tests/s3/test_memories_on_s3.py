"""The table of memories on an object store that fails or is unavailable."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest

from semloop.errors import LakeError, StorageUnavailable
from semloop.settings import Settings
from semloop.storage import object_store
from semloop.storage.errors import CHECK_STORE
from semloop.storage.location import Storage
from sinks.vectors import maintenance
from sinks.vectors.maintenance import maintain
from tests.sinks.memory_builder import memory_rows, stored, vector_table
from tests.support.fault_proxy import ALWAYS, Fault, FaultProxy
from tests.support.lakes import settings_on
from tests.support.services import Broker, free_port

PRIVATE = "a private text"


@pytest.fixture
def storage(
    proxy: FaultProxy, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    """A lake behind the proxy, with no fault armed."""
    yield Storage.of(settings_on(proxy.endpoint, broker, monkeypatch))
    proxy.disarm()


def some_rows(start: int) -> pa.Table:
    return memory_rows(range(start, start + 10), text=PRIVATE, searched=PRIVATE)


FAULTS = {
    "a few 503": (Fault.SLOW_DOWN, 3),
    "a 500": (Fault.INTERNAL_ERROR, 1),
    "rejected without a cause": (Fault.REFUSED, 1),
    "a reset": (Fault.RESET, 1),
    "lost reply": (Fault.LOST_REPLY, 1),
    "truncated reply": (Fault.CUT_OFF, 1),
}
REQUESTS = {
    "data file": ("PUT", "/data/"),
    "version": ("PUT", "/_versions/"),
    "reading": ("GET", "/generation-1.lance"),
}


def test_rows_are_stored_once_under_every_fault(
    proxy: FaultProxy, storage: Storage
) -> None:
    table, start = vector_table(storage), 0
    for fault, (kind, times) in FAULTS.items():
        for request, (method, part) in REQUESTS.items():
            armed = proxy.arm(kind, method, part, times=times)
            table.merge(some_rows(start))
            proxy.disarm()
            assert armed.happened or method == "GET", (fault, request)
            start += 10
    assert stored(storage) == [(number, 1) for number in range(start)]


@pytest.mark.parametrize("part", ["/data/", "/_versions/"])
def test_an_error_of_a_store_that_rejects_writes_contains_no_rows(
    proxy: FaultProxy, storage: Storage, part: str
) -> None:
    table = vector_table(storage, 0.1)
    proxy.arm(Fault.SLOW_DOWN, "PUT", part, times=ALWAYS)
    with pytest.raises(StorageUnavailable) as error:
        table.merge(some_rows(0))
    proxy.disarm()
    what = f"Cannot write table memories in {storage.root}: the object store "
    what += f"{storage.endpoint} fails: 503 Service Unavailable (SlowDown)"
    assert str(error.value) == f"{what} (tried for 0.1 s)\n{CHECK_STORE}"
    assert PRIVATE not in repr(error.value.__cause__)
    table.merge(some_rows(0))
    assert len(stored(storage)) == 10


@pytest.mark.parametrize("part", ["/_versions/", "/_indices/"])
def test_a_table_is_created_despite_faults(
    proxy: FaultProxy, storage: Storage, part: str
) -> None:
    armed = proxy.arm(Fault.SLOW_DOWN, "PUT", part, times=3)
    vector_table(storage).merge(some_rows(0))
    assert armed.happened == 3
    assert len(stored(storage)) == 10


def test_maintenance_succeeds_despite_faults(
    proxy: FaultProxy, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Index even this few rows.
    monkeypatch.setattr(maintenance, "UNINDEXED_MAX", 1)
    table = vector_table(storage)
    for start in range(0, 30, 10):
        table.merge(some_rows(start))
    # LanceDB itself does not retry: the version may already exist.
    armed = proxy.arm(Fault.RESET, "PUT", "/_versions/", times=2)
    report = maintain(storage, 1)
    assert armed.happened == 2
    assert report is not None
    assert (report.rows, report.fragments, report.unindexed) == (30, 1, 0)


def test_a_store_that_refuses_connections_is_reported(s3_settings: Settings) -> None:
    storage = storage_at(s3_settings, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StorageUnavailable) as error:
        vector_table(storage, 0.1)
    assert error.value.what.startswith("Cannot read table memories in s3://")


def test_a_store_that_never_responds_times_out(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "ANSWER_S", 1)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(StorageUnavailable) as error:
            vector_table(storage_at(s3_settings, address), 0.1)
    assert error.value.what.startswith("Cannot read table memories in s3://")


def storage_at(settings: Settings, endpoint: str) -> Storage:
    storage = Storage.of(settings)
    return replace(storage, options={**storage.options, "aws_endpoint_url": endpoint})


def test_a_missing_bucket_is_reported(s3_settings: Settings) -> None:
    storage = replace(Storage.of(s3_settings), root="s3://missing/bucket/x")
    with pytest.raises(LakeError, match="NoSuchBucket") as error:
        vector_table(storage)
    assert error.value.todo.startswith("Create the bucket")
