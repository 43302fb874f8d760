"""The table of memories on an object store that fails, or is not there."""

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
from tests.conftest import settings_on
from tests.fault_proxy import ALWAYS, Fault, FaultProxy
from tests.services import Broker, free_port
from tests.sinks.some_memories import a_table, some_memories, stored
from tests.stores import Store

PRIVATE = "a secret of somebody"


@pytest.fixture(scope="module")
def proxy(store: Store) -> Iterator[FaultProxy]:
    with FaultProxy(store.endpoint) as proxy:
        yield proxy


@pytest.fixture
def storage(
    proxy: FaultProxy, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    """A lake behind the proxy, where at first everything goes well."""
    yield Storage.of(settings_on(proxy.endpoint, broker, monkeypatch))
    proxy.disarm()


def some_rows(start: int) -> pa.Table:
    return some_memories(range(start, start + 10), text=PRIVATE, searched=PRIVATE)


FAULTS = {
    "a few 503": (Fault.SLOW_DOWN, 3),
    "a 500": (Fault.INTERNAL_ERROR, 1),
    "refused without a reason": (Fault.REFUSED, 1),
    "a reset": (Fault.RESET, 1),
    "lost reply": (Fault.LOST_REPLY, 1),
    "answer cut off": (Fault.CUT_OFF, 1),
}
REQUESTS = {
    "rows' file": ("PUT", "/data/"),
    "version": ("PUT", "/_versions/"),
    "reading": ("GET", "/generation-1.lance"),
}


def test_rows_are_there_once_whatever_befalls_them(
    proxy: FaultProxy, storage: Storage
) -> None:
    table, start = a_table(storage), 0
    for fault, (kind, times) in FAULTS.items():
        for request, (method, part) in REQUESTS.items():
            armed = proxy.arm(kind, method, part, times=times)
            table.merge(some_rows(start))
            proxy.disarm()
            assert armed.happened or method == "GET", (fault, request)
            start += 10
    assert stored(storage) == [(number, 1) for number in range(start)]


@pytest.mark.parametrize("part", ["/data/", "/_versions/"])
def test_a_store_that_takes_nothing_is_told_without_the_rows(
    proxy: FaultProxy, storage: Storage, part: str
) -> None:
    table = a_table(storage, 0.1)
    proxy.arm(Fault.SLOW_DOWN, "PUT", part, times=ALWAYS)
    with pytest.raises(StorageUnavailable) as told:
        table.merge(some_rows(0))
    proxy.disarm()
    what = f"Cannot write table memories in {storage.root}: the object store "
    what += f"{storage.endpoint} fails: 503 Service Unavailable (SlowDown)"
    assert str(told.value) == f"{what} (tried for 0.1 s)\n{CHECK_STORE}"
    assert PRIVATE not in repr(told.value.__cause__)
    table.merge(some_rows(0))
    assert len(stored(storage)) == 10


@pytest.mark.parametrize("part", ["/_versions/", "/_indices/"])
def test_a_table_is_made_whatever_befalls_it(
    proxy: FaultProxy, storage: Storage, part: str
) -> None:
    armed = proxy.arm(Fault.SLOW_DOWN, "PUT", part, times=3)
    a_table(storage).merge(some_rows(0))
    assert armed.happened == 3
    assert len(stored(storage)) == 10


def test_upkeep_is_done_whatever_befalls_it(
    proxy: FaultProxy, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few rows would not be worth it.
    monkeypatch.setattr(maintenance, "UNINDEXED_MAX", 1)
    table = a_table(storage)
    for start in range(0, 30, 10):
        table.merge(some_rows(start))
    # LanceDB itself does not ask again: the version may be there.
    armed = proxy.arm(Fault.RESET, "PUT", "/_versions/", times=2)
    report = maintain(storage, 1)
    assert armed.happened == 2
    assert report is not None
    assert (report.rows, report.fragments, report.unindexed) == (30, 1, 0)


def test_a_store_where_nobody_listens_is_told(s3_settings: Settings) -> None:
    storage = elsewhere(s3_settings, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StorageUnavailable) as told:
        a_table(storage, 0.1)
    assert told.value.what.startswith("Cannot read table memories in s3://")


def test_a_store_that_says_nothing_is_given_up(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "ANSWER_S", 1)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(StorageUnavailable) as told:
            a_table(elsewhere(s3_settings, address), 0.1)
    assert told.value.what.startswith("Cannot read table memories in s3://")


def elsewhere(settings: Settings, endpoint: str) -> Storage:
    storage = Storage.of(settings)
    return replace(storage, options={**storage.options, "aws_endpoint_url": endpoint})


def test_a_missing_bucket_is_told(s3_settings: Settings) -> None:
    storage = replace(Storage.of(s3_settings), root="s3://nobody/made/it")
    with pytest.raises(LakeError, match="NoSuchBucket") as told:
        a_table(storage)
    assert told.value.todo.startswith("Create the bucket")
