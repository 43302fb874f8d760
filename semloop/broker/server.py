"""Answers connections: frames in, frames out, one request of a connection at a time."""

import asyncio
import struct
from contextlib import nullcontext, suppress

from semloop.broker.broker import Broker, report
from semloop.broker.errors import Refused
from semloop.broker.requests import API_VERSIONS, APIS
from semloop.broker.wire import Malformed, Reader, Writer

_SIZE = struct.Struct(">i")
_CORRELATION = struct.Struct(">i")
# A batch of `max.message.bytes` per partition and its framing, and some more.
FRAME_BYTES_MAX = 16 * 2**20
# Only a few larger requests are read at the same time, so that memory has a bound.
LARGE_BYTES, LARGE_MAX = 128 * 1024, 4
# A client that does not send the rest of a request, or does not read its answer, would
# keep others from sending or memory from being used.
FRAME_S = 30.0
CONNECTIONS_MAX = 500
READ_AHEAD_BYTES = 64 * 1024
TICK_S = 5.0


class Server:
    """The listener of a broker."""

    def __init__(self, broker: Broker, connections_max: int = CONNECTIONS_MAX) -> None:
        self._broker = broker
        self._connections_max = connections_max
        self._connections = self._refused = 0
        self._large = asyncio.Semaphore(LARGE_MAX)

    async def run(self, stopping: asyncio.Event) -> None:
        """Answer until `stopping` is set.

        Raises:
            OSError: the address is in use.
        """
        server = await asyncio.start_server(
            self._connected,
            self._broker.host,
            self._broker.port,
            limit=READ_AHEAD_BYTES,
        )
        ticks = asyncio.create_task(self._tick())
        await stopping.wait()
        ticks.cancel()
        server.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._broker.memberships.expire()
            if self._refused:
                most = self._connections_max
                report(f"Refused connections beyond {most}: {self._refused}.")
                self._refused = 0
            try:
                self._broker.store.make_room()
                await self._broker.store.sync()
            except OSError as error:
                # A full disk: tried again with the next tick.
                report(f"The log cannot be written to disk: {error.strerror}.")

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._connections >= self._connections_max:
            self._refused += 1
            writer.close()
            return
        self._connections += 1
        try:
            while await self._answer_one(reader, writer):
                pass
        except (Malformed, Refused) as error:
            report(f"A request could not be read: {type(error).__name__}.")
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            # The client has gone; nothing waits to be sent to it.
            writer.transport.abort()
        except asyncio.CancelledError:
            pass  # the broker ends
        finally:
            self._connections -= 1
            with suppress(OSError):
                writer.close()

    async def _answer_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer a request; return False if the connection must be closed."""
        (size,) = _SIZE.unpack(await reader.readexactly(_SIZE.size))
        if not 0 < size <= FRAME_BYTES_MAX:
            return False
        async with self._large if size > LARGE_BYTES else nullcontext():
            async with asyncio.timeout(FRAME_S):
                frame = await reader.readexactly(size)
            answer = await self._answer(frame)
        if answer is None:
            return False
        if answer:
            with self._broker.sending(len(answer)):
                writer.write(answer)
                async with asyncio.timeout(FRAME_S):
                    await writer.drain()
        return True

    async def _answer(self, frame: bytes) -> bytes | None:
        """Return the response; empty without one, None for unknown requests."""
        request = Reader(frame)
        key, version = request.i16(), request.i16()
        correlation, _ = request.i32(), request.text_or_none()
        api = APIS.get(key)
        is_known = api is not None and api.first <= version <= api.last
        if api is None or not (is_known or key == API_VERSIONS):
            return None
        flexible = version >= api.flexible
        if flexible and is_known:
            request.tags()
        response = Writer()
        try:
            pending = api.answer(self._broker, request, response, version)
            if pending is not None:
                await pending
        except OSError as error:
            report(f"The log cannot be used: {error.strerror}.")
            return None
        body = response.content()
        if not body:
            return b""
        # The header of this one response has no tagged fields, so that any client
        # can read it.
        tags = b"\0" if flexible and key != API_VERSIONS else b""
        head = _CORRELATION.pack(correlation) + tags
        return b"".join((_SIZE.pack(len(head) + len(body)), head, body))
