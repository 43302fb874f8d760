"""Any bytes as a request: they are answered, refused or not understood, never a fault."""

import asyncio
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semloop.broker.broker import Broker
from semloop.broker.catalog import create
from semloop.broker.errors import Refused
from semloop.broker.requests import APIS
from semloop.broker.server import Server
from semloop.broker.store import Store
from semloop.broker.wire import Malformed

HEADER = struct.Struct(">hhih")
KEYS = [(key, v) for key, api in APIS.items() for v in range(api.first, api.last + 1)]
# Small numbers, names and sizes are more likely to be understood than random bytes.
PARTS = st.sampled_from(
    [
        b"\0\0\0\1",
        b"\0\1t",
        b"\0\0\0\0",
        b"\xff\xff",
        b"\xff\xff\xff\xff",
        b"\2t",
        b"\1",
    ]
)
BODIES = st.lists(PARTS | st.binary(max_size=8), max_size=20).map(b"".join)


async def answered(server: Server, frame: bytes) -> None:
    with suppress(Malformed, Refused, TimeoutError):
        # Some requests wait for records or members.
        async with asyncio.timeout(0.01):
            answer = await server._answer(frame)
            assert answer is None or isinstance(answer, bytes)


@settings(max_examples=30, deadline=None)
@given(bodies=st.lists(st.tuples(st.sampled_from(KEYS), BODIES), max_size=40))
def test_no_request_is_a_fault(
    tmp_path_factory: pytest.TempPathFactory,
    bodies: list[tuple[tuple[int, int], bytes]],
) -> None:
    path: Path = tmp_path_factory.mktemp("log")
    store = Store(path, 10_000, "g")
    create(store, "t", 1, {})

    async def send() -> None:
        server = Server(Broker(store, "127.0.0.1", 1))
        for (key, version), body in bodies:
            await answered(server, HEADER.pack(key, version, 1, -1) + body)
        server._broker.memberships.expire()

    asyncio.run(send())
    store.close()
    Store(path, 10_000, "g").close()
