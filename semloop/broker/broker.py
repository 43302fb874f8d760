"""What the requests share: the store, the address, and who waits for records."""

import asyncio

from semloop.broker.membership import Memberships
from semloop.broker.store import Store

NODE_ID = 1
# The same for each folder: lakes remember the cluster that filled them, and go on with
# a new folder, on another machine, or after the embedded broker of earlier versions,
# which had this id. Topics of different folders have different ids.
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


def _end(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
