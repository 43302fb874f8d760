"""What the requests share: the store, the address, and who waits for records."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from semloop.broker.membership import Memberships
from semloop.broker.store import Store

NODE_ID = 1
# Answers are built in memory. Where more than this is waiting for slow clients, others
# get little at a time.
ANSWER_BYTES_MAX, UNSENT_BYTES_MAX, SHORT_BYTES = 8 * 2**20, 32 * 2**20, 64 * 1024
# The same for each folder: lakes remember the cluster that filled them. So they accept
# a new folder, another machine, and this broker after that of earlier versions, which
# had this id. Topics of different folders have different ids.
CLUSTER_ID = "tansu_cluster"


class Broker:
    """One broker, which is its whole cluster.

    Attributes:
        host, port: where clients reach it.
        store: topics and groups' offsets.
        memberships: members of groups that share partitions.
    """

    def __init__(self, store: Store, host: str, port: int) -> None:
        self.store = store
        self.host, self.port = host, port
        self.memberships = Memberships()
        self._waiting: set[asyncio.Future[None]] = set()
        self._reported: set[str] = set()
        self._unsent = 0

    @property
    def answer_bytes_max(self) -> int:
        """Records in an answer, at most; a consumer asks again for the rest."""
        return ANSWER_BYTES_MAX if self._unsent < UNSENT_BYTES_MAX else SHORT_BYTES

    @contextmanager
    def sending(self, size: int) -> Iterator[None]:
        """Count an answer while it is sent: its client may read slowly."""
        self._unsent += size
        try:
            yield
        finally:
            self._unsent -= size

    def report_once(self, line: str) -> None:
        """Write a line to the log, unless it is there already."""
        if line not in self._reported:
            self._reported.add(line)
            report(line)

    def appended(self) -> None:
        """Wake those who wait for records."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def wait_for_records(self, seconds: float) -> None:
        """Return when a record is appended, or after a time."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting.add(waiting)
        alarm = loop.call_later(seconds, _end, waiting)
        try:
            await waiting
        finally:
            alarm.cancel()
            self._waiting.discard(waiting)


def report(line: str) -> None:
    """Write a line with the time to the log."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}\n")
    sys.stderr.flush()


def _end(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
