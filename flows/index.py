"""The scheduled flow `index`: files and indexes of the memories, old generations."""

from collections.abc import Callable

from semloop.memories import EPISODES, generation_of
from semloop.settings import Settings
from semloop.storage import Storage
from sinks.storage_errors import reading
from sinks.vector_index import Report, drop_older, maintain

Show = Callable[[str, int, int], None]


def index(settings: Settings, show: Show = lambda step, done, total: None) -> Report:
    """Keep the memories quick to search, and remove those that `reindex` replaced.

    Args:
        settings: the lake.
        show: told (step, done, total) of the work.

    Raises:
        LakeError: the memories are gone, or may not be written.
        StorageUnavailable: not within `storage_retry_s`, or another one was quicker.
    """
    storage = Storage.of(settings)
    with reading(EPISODES):
        if not storage.has(EPISODES):
            return Report()
        generation = generation_of(storage.open(EPISODES))
    drop_older(storage, generation)
    return maintain(storage, generation, show, settings.storage_retry_s)
