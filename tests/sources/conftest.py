"""The table `events` in a lake of its own."""

import pytest

from semloop.storage.location import Storage
from tests.sources.events_table import EventsTable


@pytest.fixture
def table(storage: Storage) -> EventsTable:
    """The table, which a test fills; it does not exist yet."""
    return EventsTable(storage)
