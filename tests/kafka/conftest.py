"""The broker with TLS and logins, shared by all test workers."""

from types import SimpleNamespace

import pytest

from tests.conftest import _root
from tests.kafka.secure_broker import Secure, SecureBroker
from tests.support.shared import shared


@pytest.fixture(scope="session")
def secure(pytestconfig: pytest.Config) -> Secure:
    """A broker with a listener for each common security configuration."""
    return SimpleNamespace(**shared(_root(pytestconfig), "secure-broker", SecureBroker))
