"""The broker with TLS and logins, one for all workers of the run."""

from types import SimpleNamespace

import pytest

from tests.conftest import _root
from tests.kafka.secure_broker import Secure, SecureBroker
from tests.shared import shared


@pytest.fixture(scope="session")
def secure(pytestconfig: pytest.Config) -> Secure:
    """A listener for each way in which people run theirs."""
    return SimpleNamespace(**shared(_root(pytestconfig), "secure-broker", SecureBroker))
