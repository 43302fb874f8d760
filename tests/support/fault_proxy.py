"""An object store with fault injection: an HTTP proxy in front of a real one.

A test arms a fault for the next matching requests and queries later how often it was
injected.
"""

from enum import StrEnum

from tests.support.store_proxy import StoreProxy

ALWAYS = 1_000_000


class Fault(StrEnum):
    """Effect on a request; SLOW_DOWN to RESET do not forward it to the store."""

    ONLY_COUNTED = "nothing"
    SLOW_DOWN = "503"
    INTERNAL_ERROR = "500"
    REFUSED = "412"
    NOT_FOUND = "404, with a page in place of a code"
    RESET = "the connection is reset"
    STALLED = "held at the gate, then forwarded even if the client gave up"
    STALLED_REPLY = "forwarded, the reply held at the gate"
    LOST_REPLY = "forwarded, the connection closed without a reply"
    CUT_OFF = "forwarded, the reply cut off before its announced length"


class ArmedFault:
    """A fault for the next matching requests."""

    def __init__(self, proxy: "FaultProxy", number: int) -> None:
        self._proxy = proxy
        self._number = number

    @property
    def happened(self) -> int:
        """Number of requests that it was applied to."""
        count: int = self._proxy.ask("happened", self._number)
        return count


class FaultProxy(StoreProxy):
    """A context manager; `endpoint` is the URL of the store with faults."""

    def __init__(self, store: str) -> None:
        """Start the proxy; `store` is the http endpoint of the real store."""
        super().__init__("tests.support.fault_server", store)

    def arm(
        self,
        fault: Fault,
        method: str = "PUT",
        part: str = "",
        *,
        times: int = 1,
        skip: int = 0,
    ) -> ArmedFault:
        """Apply a fault to the next matching requests.

        Args:
            fault: effect on each request.
            method: HTTP methods, separated by spaces: "GET HEAD".
            part: required part of the path and query, for example `_delta_log/`.
            times: maximum number of requests; `ALWAYS` for all until `disarm`.
            skip: number of matching requests to leave alone first.
        """
        number = self.ask("arm", str(fault), method, part, times, skip)
        return ArmedFault(self, number)

    def disarm(self) -> None:
        """Stop applying faults."""
        self.ask("disarm")

    def open_gate(self) -> None:
        """Release all held requests, and hold no further ones."""
        self.ask("open_gate")
