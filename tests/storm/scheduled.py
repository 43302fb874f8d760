"""The flows of a lake, each run to its end in the calling process."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from unittest.mock import patch

import flows.compact
import flows.rebuild
import flows.retain
import flows.vacuum
from operators import compaction
from semloop.settings import Settings
from semloop.storage import store_time
from semloop.storage.location import Storage
from tests.support.in_process import run_flow

Run = Callable[[Settings], object]
LATER = timedelta(days=5)


def archive(settings: Settings) -> object:
    return run_flow(settings)


def memory(settings: Settings) -> object:
    return run_flow(settings, "memory")


def compact(settings: Settings) -> object:
    """Merge as soon as there are two files, in place of ten."""
    with patch.object(compaction, "FILES_MIN", 2):
        return flows.compact.compact(settings)


def retain(settings: Settings) -> object:
    """Run five days later."""

    def agreed(storage: Storage) -> date:
        return date.today() + LATER  # noqa: DTZ011

    with patch.object(store_time, "agreed_date", agreed):
        return flows.retain.retain(settings)


def vacuum(settings: Settings) -> object:
    """Run five days later."""
    now = store_time.now

    def later(storage: Storage) -> datetime:
        return now(storage) + LATER

    with patch.object(store_time, "now", later):
        return flows.vacuum.vacuum(settings)


STREAMING: Mapping[str, Run] = {"archive": archive, "memory": memory}
MAINTENANCE: Mapping[str, Run] = {
    "compact": compact,
    "retain": retain,
    "rebuild": flows.rebuild.rebuild,
    "vacuum": vacuum,
}
