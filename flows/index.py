"""The scheduled flow `index`: files and indexes of the memories, old generations."""

from collections.abc import Callable

from semloop.errors import LakeError
from semloop.lake.generations import EPISODES, generation_of
from semloop.settings import Settings
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sinks.vectors.maintenance import Report, drop_older, maintain

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
    with storage_errors(storage, f"read table {EPISODES}"):
        if not storage.has(EPISODES):
            return Report()
        episodes = storage.open(EPISODES)
        generation = generation_of(episodes)
        begun = bool(episodes.file_uris())
    drop_older(storage, generation)
    report = maintain(storage, generation, show, settings.storage_retry_s)
    if report is None:
        if not begun:
            return Report()
        msg = f"The memories of {settings.lake} are gone."
        raise LakeError(msg, "Make them anew: `semloop maintain reindex`.")
    return report
