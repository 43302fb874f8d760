"""The log entry by which a rebuilt table of episodes replaces the present one.

It removes all files, adds the new ones, and carries offsets, fences and the number of
the generation of memories: every reader sees all of the old or all of the new. It is
put, if absent, at exactly the next version: after each commit of another writer the
log is read again. So it needs no lease. A commit of `memory` that meets it is refused,
since both carry the fences of `memory`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from deltalake.transaction import AddAction

from semloop.delta.fence import FENCE, Fence
from semloop.delta.log_entry import entry_name
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import CAUGHT_UP, Partition, Streams
from semloop.errors import StorageUnavailable, Terminal
from semloop.lake.generations import EPISODES, GENERATION
from semloop.retry import retry
from semloop.storage import store_time
from semloop.storage.location import Storage
from sinks.compaction.log_entry import AGE_MAX, make_checkpoint
from sinks.delta.fenced_table import FencedTable
from sinks.delta.stored_generation import stored_generation

# Each lost attempt means that another writer committed within milliseconds.
ATTEMPTS_MAX = 100


class EpisodeSwitch:
    """Replaces the files of table `episodes`, and with them the memories.

    Args:
        storage: the lake.
        episodes: the table; each attempt opens its newest version.
        streams: names of the offsets of the flow `memory`.
        generation: number of the memories that belong to the new files.
        same_streams: raises if the lake has streams that the files are not made of.
        retry_s: how long to retry while storage is unavailable, seconds.
    """

    def __init__(
        self,
        storage: Storage,
        episodes: FencedTable,
        streams: Streams,
        generation: int,
        same_streams: Callable[[], None],
        retry_s: float,
    ) -> None:
        self._storage = storage
        self._episodes = episodes
        self._streams = streams
        self._generation = generation
        self._same_streams = same_streams
        self._retry_s = retry_s

    def replace_by(
        self,
        files: Sequence[AddAction],
        offsets: Mapping[Partition, int],
        caught_up_ms: Mapping[Partition, int],
    ) -> bool:
        """Make these files the table.

        Args:
            files: completely written, in no version yet.
            offsets: every partition -> last offset that they are made of.
            caught_up_ms: partition -> when `archive` had read up to that offset.

        Returns:
            False if `memory` has read more by now, or if other writers were always
            faster: nothing has changed.

        Raises:
            Terminal: another run has switched the memories, or the files are too old.
            TopicChanged: partitions or topics were added.
            LakeError: the table is not writable. StorageUnavailable: storage did not
                recover within `retry_s`; the entry may or may not be stored.
        """
        attempt = partial(self._attempt, files, offsets, caught_up_ms)
        for _ in range(ATTEMPTS_MAX):
            # A reply may have been lost: each attempt reads the log first.
            done = retry(attempt, on=StorageUnavailable, seconds=self._retry_s)
            if done is not None:
                return done
        return False

    def _attempt(
        self,
        files: Sequence[AddAction],
        offsets: Mapping[Partition, int],
        caught_up_ms: Mapping[Partition, int],
    ) -> bool | None:
        """Try to put the entry once; None if another writer has taken its version."""
        self._episodes.refresh()
        found = stored_generation(self._episodes)
        if found == self._generation:
            return True  # by an attempt whose reply was lost
        if found > self._generation:
            msg = "Another `rebuild` or `reindex` has switched the memories meanwhile."
            raise Terminal(msg, "Run it again if you need other settings.")
        # After the log: a stream has a row before its episodes are in any version.
        self._same_streams()
        stored = {p: self._episodes.stored(p) for p in offsets}
        if any(at is not None and at > offsets[p] for p, at in stored.items()):
            return False
        self._require_young(files)
        numbers = self._numbers(offsets, caught_up_ms)
        version = self._episodes.handle.version() + 1
        entry = self._entry(files, numbers)
        name = entry_name(EPISODES, version)
        if not self._storage.create(name, entry):
            return None
        if self._storage.read(entry_name(EPISODES, version - 1)) is None:
            # The log was cleaned up meanwhile: is the entry below a checkpoint?
            return None
        make_checkpoint(self._storage, EPISODES, version)
        return True

    def _require_young(self, files: Sequence[AddAction]) -> None:
        """Raise if a vacuum may delete a file at any moment, or has."""
        now = store_time.now(self._storage)
        for file in files:
            age = store_time.age(self._storage, f"{EPISODES}/{file.path}", now)
            if age is None or age > AGE_MAX:
                hours = AGE_MAX // timedelta(hours=1)
                msg = f"The new files of episodes are older than {hours} hours."
                raise Terminal(msg, "Run `semloop maintain rebuild` again.")

    def _numbers(
        self, offsets: Mapping[Partition, int], caught_up_ms: Mapping[Partition, int]
    ) -> dict[str, int]:
        """Return what the entry stores, by app id."""
        numbers = {GENERATION: self._generation}
        for partition, offset in offsets.items():
            name = self._streams.app_id(EPISODES, partition)
            epoch = 1 + self._episodes.epoch(partition)
            numbers |= {name: offset, name + FENCE: Fence(epoch).pack()}
            if partition in caught_up_ms:
                numbers[name + CAUGHT_UP] = caught_up_ms[partition]
        return numbers

    def _entry(self, files: Sequence[AddAction], numbers: Mapping[str, int]) -> bytes:
        """Return the text of the entry; times are those of the storage."""
        now_ms = int(store_time.now(self._storage).timestamp() * 1_000)
        info: dict[str, object] = {
            "timestamp": now_ms,
            "operation": "WRITE",
            "operationParameters": {"mode": "Overwrite"},
            "isBlindAppend": False,
        }
        removed = Snapshot.of(EPISODES, self._episodes.handle).files
        actions: list[dict[str, object]] = [{"commitInfo": info}]
        actions += [
            {"txn": {"appId": app_id, "version": number, "lastUpdated": now_ms}}
            for app_id, number in numbers.items()
        ]
        actions += [
            {
                "remove": {
                    "path": path,
                    "deletionTimestamp": now_ms,
                    "dataChange": True,
                    "extendedFileMetadata": True,
                    "partitionValues": _partition(path),
                    "size": file.size_bytes,
                }
            }
            for path, file in removed.items()
        ]
        actions += [
            {
                "add": {
                    "path": file.path,
                    "partitionValues": _partition(file.path),
                    "size": file.size,
                    "modificationTime": now_ms,
                    "dataChange": True,
                    "stats": file.stats,
                }
            }
            for file in files
        ]
        return "\n".join(json.dumps(a, ensure_ascii=False) for a in actions).encode()


def _partition(path: str) -> dict[str, str]:
    """Return the partition of a file, which its folder tells."""
    name, _, value = path.partition("/")[0].partition("=")
    return {name: value}
