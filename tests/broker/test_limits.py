"""What exceeds a limit of the broker is refused, and takes neither memory nor room."""

import asyncio
import resource
import socket
import struct
from argparse import ArgumentTypeError
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewTopic,
)

from semloop.broker import partition
from semloop.broker.__main__ import FILES, _address
from semloop.broker.broker import Broker
from semloop.broker.errors import Code, Refused
from semloop.broker.requests.fetching import _read, _Wanted
from semloop.broker.server import Server
from semloop.broker.store import Store
from semloop.broker.wire import ITEMS_MAX, Malformed, Reader
from tests.broker.conftest import Start
from tests.broker.records import a_batch, offsets
from tests.broker.stores import GROUP, a_store, crash, opened
from tests.support.services import free_port, wait_for


def refusal_of_commit(store: Store, offset: int) -> Code:
    with pytest.raises(Refused) as refused:
        store.commit("g", "t", 0, offset)
    return refused.value.code


def test_a_batch_that_can_never_fit_is_refused_for_good(tmp_path: Path) -> None:
    a_store(tmp_path, records=0).close()
    store = opened(tmp_path, bytes_max=500)
    with pytest.raises(Refused) as refused:
        store.append("t", 0, a_batch(size=600))
    assert refused.value.code is Code.MESSAGE_TOO_LARGE
    store.close()


def test_only_offsets_of_the_log_are_committed(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.commit("g", "t", 0, 3)
    for offset in (4, 2**63 - 1, -1):
        assert refusal_of_commit(store, offset) is Code.OFFSET_OUT_OF_RANGE
    assert store.groups.offset("g", "t", 0) == 3
    store.close()


def test_the_group_that_makes_room_is_never_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.broker.state.GROUPS_MAX", 2)
    store = a_store(tmp_path)
    for group in (GROUP, "a", "b", "c"):
        store.commit(group, "t", 0, 1)
    assert list(store.groups.offsets) == [GROUP, "c"]
    store.close()


def test_a_batch_is_stored_once_although_a_file_began_before_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "SEGMENT_BYTES", 200)
    store = a_store(tmp_path, records=0)
    batches = [a_batch(producer=7), a_batch(producer=8)]
    assert [store.append("t", 0, each) for each in batches] == [0, 1]
    crash(store)
    again = opened(tmp_path)
    assert [again.append("t", 0, each) for each in batches] == [0, 1]
    again.close()


def test_a_shortened_file_is_reported_once_and_not_answered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = a_store(tmp_path)
    (log,) = tmp_path.glob("*.log")
    with log.open("r+b") as file:
        file.truncate(300)
    broker = Broker(store, "127.0.0.1", 1)
    for _ in range(3):
        (found,) = _read(broker, [_Wanted("t", 0, 0, 1_000)], 1_000)
        assert (found.code, found.data) == (Code.KAFKA_STORAGE_ERROR, b"")
    assert capfd.readouterr().err.count(f"{log.name} cannot be read") == 1
    store.close()


@pytest.mark.parametrize("bytes_max", [-(2**31), -1, 0, 1])
def test_a_reader_gets_a_batch_with_any_number_of_bytes(
    tmp_path: Path, bytes_max: int
) -> None:
    store = a_store(tmp_path, records=100)
    broker = Broker(store, "127.0.0.1", 1)
    (found,) = _read(broker, [_Wanted("t", 0, 2, bytes_max)], 2**20)
    assert offsets(found.data)[0] == 2
    assert len(found.data) <= 4096 + 200
    store.close()


def test_large_arrays_are_not_read() -> None:
    data = struct.pack(">i", ITEMS_MAX + 1) + b"\0" * (ITEMS_MAX + 1)
    reader = Reader(data)
    with pytest.raises(Malformed):
        reader.array(reader.i8)


def test_only_addresses_of_this_machine_are_listened_at() -> None:
    assert _address("127.0.0.1:9092") == ("127.0.0.1", 9092)
    assert _address("[::1]:1") == ("::1", 1)
    for text in (":9092", "0.0.0.0:9092", "localhost", "localhost:x", "::1:99999"):
        with pytest.raises(ArgumentTypeError):
            _address(text)


def test_connections_beyond_the_limit_are_closed_and_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.broker.server.TICK_S", 0.01)
    store, port = opened(tmp_path), free_port()
    reported = ""

    async def connect_twice() -> None:
        nonlocal reported
        stopping = asyncio.Event()
        server = Server(Broker(store, "127.0.0.1", port), connections_max=1)
        running = asyncio.create_task(server.run(stopping))
        while not (first := await connected(port)):
            await asyncio.sleep(0.01)
        second = await connected(port)
        assert second is not None
        assert await second[0].read() == b""
        while not reported:
            await asyncio.sleep(0.01)
            reported = capfd.readouterr().err
        for _, writer in (first, second):
            writer.close()
        stopping.set()
        await running

    asyncio.run(asyncio.wait_for(connect_twice(), 30))
    assert "Refused connections beyond 1: 1." in reported
    store.close()


async def connected(
    port: int,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    with suppress(ConnectionError):
        return await asyncio.open_connection("127.0.0.1", port)
    return None


def fetch(topic: bytes, offset: int) -> bytes:
    """Return a request of version 4 for all records from an offset."""
    places = struct.pack(">iiqi", 1, 0, offset, 2**30)
    name = struct.pack(">ih", 1, len(topic)) + topic
    body = struct.pack(">iiiib", -1, 100, 1, 2**30, 0) + name + places
    request = struct.pack(">hhih", 1, 4, 1, -1) + body
    return struct.pack(">i", len(request)) + request


@pytest.mark.process
def test_a_running_broker_has_limits(start: Start) -> None:
    broker = start()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed, _ = psutil.Process(broker.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert allowed >= (FILES if hard == resource.RLIM_INFINITY else min(FILES, hard))
    server: dict[str, Any] = {"bootstrap.servers": broker.address, "log_level": 0}
    admin = AdminClient(server)
    for config in ({"cleanup.policy": "compact"}, {"retention.ms": "1"}):
        with pytest.raises(KafkaException, match="INVALID_CONFIG"):
            admin.create_topics([NewTopic("t", 1, config=config)])["t"].result(60)
    admin.create_topics([NewTopic("t", 1)])["t"].result(60)
    producer = Producer(server)
    for _ in range(200):
        producer.produce("t", b"x" * 60_000, partition=0)
    assert producer.flush(60) == 0
    before_mb = psutil.Process(broker.pid).memory_info().rss / 2**20
    host, port = broker.address.split(":")
    stalled = []
    for _ in range(40):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(fetch(b"t", 0))
        stalled.append(connection)
    for connection in stalled:
        connection.settimeout(20)
        assert connection.recv(4)  # its answer is waiting
    after_mb = psutil.Process(broker.pid).memory_info().rss / 2**20
    assert after_mb - before_mb < 120
    for connection in stalled:
        connection.close()
    wait_for("the end", lambda: admin.list_topics(timeout=60))
