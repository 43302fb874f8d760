"""An object store that accepts only the current key of its own STS.

STS and store share one endpoint: a proxy in front of moto, which does not check
signatures.
"""

from tests.support.store_proxy import StoreProxy


class ExpiringKeyStore(StoreProxy):
    """A context manager; `endpoint` is the URL of both STS and store."""

    def __init__(self, store: str) -> None:
        """`store`: endpoint of a store that does not check signatures."""
        super().__init__("tests.s3.expiring_key_server", store)

    def replace_key(self) -> None:
        """Expire the current key; STS issues a new one from now on."""
        self.ask("replace")

    @property
    def refused(self) -> int:
        """Number of requests with an expired key, or with a key of another issuer."""
        count: int = self.ask("refusals")
        return count
