"""Checks every log entry at the moment at which it is put.

A record is exactly once in exactly one table, up to the offset that the main table has
stored, and no event is beyond it. Offsets and fences only grow. A file that the newest
version has exists, and a merge keeps the rows of the files that it replaces.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from semloop.delta.fence import FENCE
from tests.simulation.archive import Broker
from tests.simulation.delta_log import CHECKPOINT, TableState, actions_of
from tests.simulation.processes import HOUR_S, Process, Scheduler
from tests.simulation.rows import Origin
from tests.simulation.store import SimulatedObjects

ENTRY = re.compile(r"(\w+)/_delta_log/(\d{20})\.json")
OFFSET = re.compile(r"archive/events/cluster-1/([\w-]+)/(\d+)")
TABLES = ("events", "dead_letters")
# How long a query may run on the files of a version that is no longer the newest.
QUERY_H = 20.0
# What a vacuum keeps files for, beyond that.
LATE_H = 4.0


class Auditor:
    """Follows the tables of a store; `faults` are what it has found."""

    def __init__(
        self, store: SimulatedObjects, scheduler: Scheduler, broker: Broker
    ) -> None:
        self._store, self._scheduler, self._broker = store, scheduler, broker
        self.states = {table: TableState() for table in TABLES}
        self.faults: list[str] = []
        # Rows that maintenance may remove, and those that it has removed.
        self.expirable: set[Origin] = set()
        self._gone: set[Origin] = set()
        self.commits = 0
        # Name of a file -> when a log entry removed it, by the clock of the store.
        self._removed_s: dict[str, float] = {}
        self._expired_files: set[str] = set()
        self._stored_by: dict[tuple[str, str], Process | None] = {}
        store.on_put = self._look_at
        store.on_remove = self._look_for

    def _look_at(self, name: str) -> None:
        if CHECKPOINT.search(name):
            self._forget_expired(name)
        match = ENTRY.fullmatch(name)
        if match is None or match[1] not in TABLES:
            return
        table, version = match[1], int(match[2])
        before = self.states[table]
        if version <= before.version:
            # The log was cleaned up to a checkpoint: the entry has no effect.
            return
        self.commits += 1
        actions = actions_of(self._store, name)
        after = self.states[table] = before.after(name, actions)
        self._check_numbers(table, before, actions)
        self._note_removed(table, actions)
        changed = before.files.keys() != after.files.keys()
        if changed:
            self._check_change(table, before, after, actions)
        self._check_rows()

    def _note_removed(self, table: str, actions: list[dict[str, Any]]) -> None:
        now_s = self._scheduler.store_s()
        for remove in (action["remove"] for action in actions if "remove" in action):
            # NOTE: Not if the entry was put hours after its writer read the clock: a
            # vacuum takes that for the time of removal.
            name = f"{table}/{remove['path']}"
            if now_s - remove["deletionTimestamp"] / 1_000 < LATE_H * HOUR_S:
                self._removed_s[name] = now_s
                if remove["dataChange"]:
                    self._expired_files.add(name)

    def _forget_expired(self, checkpoint: str) -> None:
        """Expect nothing of files that a checkpoint has forgotten.

        NOTE: Of one by a machine whose clock is a day ahead. If a file was merged, its
        replacement tells a vacuum when; a file whose rows expired has none.
        """
        table, state = checkpoint.partition("/")[0], self._store.objects[checkpoint]
        own = {name for name in self._expired_files if name.startswith(f"{table}/")}
        for name in own - {f"{table}/{path}" for path in state.content.removed}:
            self._removed_s.pop(name, None)

    def _look_for(self, name: str) -> None:
        """Check that an object that was removed is needed no more, by queries either."""
        table, _, path = name.partition("/")
        if table in TABLES and path in self.states[table].files:
            self.faults.append(f"{name} was deleted")
        unused_s = self._scheduler.store_s() - self._removed_s.get(name, -math.inf)
        if unused_s < QUERY_H * HOUR_S:
            self.faults.append(f"{name} was deleted under a query")

    def _check_numbers(
        self, table: str, before: TableState, actions: list[dict[str, Any]]
    ) -> None:
        process = self._scheduler.current
        for action in actions:
            if "txn" not in action:
                continue
            app_id, number = action["txn"]["appId"], action["txn"]["version"]
            old = before.transactions.get(app_id)
            if old is not None and number < old:
                self.faults.append(f"{app_id} went from {old} to {number}")
            if not app_id.endswith(FENCE):
                continue
            # A take-over whose reply was lost is written again.
            owner = self._stored_by.get((table, app_id))
            if number == old and process is not owner:
                self.faults.append(f"{app_id} was stored by two writers")
            self._stored_by[table, app_id] = process

    def _check_change(
        self,
        table: str,
        before: TableState,
        after: TableState,
        actions: list[dict[str, Any]],
    ) -> None:
        """Check an entry that adds or removes files."""
        adds = [a["add"] for a in actions if "add" in a]
        removes = [a["remove"] for a in actions if "remove" in a]
        old, new = self._origins(table, before), self._origins(table, after)
        if removes and not any(each["dataChange"] for each in (*adds, *removes)):
            if old != new:
                self.faults.append(f"a merge of {table} changed its rows")
            return
        for path in (f"{table}/{add['path']}" for add in adds):
            if (
                path in self._store.objects
                and self._store.objects[path].content.foreign
            ):
                self.faults.append("rows are stored under the id of another topic")
        lost = (old - new).keys()
        if lost:
            if not lost <= self.expirable:
                self.faults.append(f"rows of {table} were removed: {sorted(lost)}")
            self._gone |= lost

    def _check_rows(self) -> None:
        counts: Counter[Origin] = Counter()
        for table, state in self.states.items():
            counts.update(self._origins(table, state))
        twice = sorted(origin for origin, count in counts.items() if count > 1)
        if twice:
            self.faults.append(f"stored twice: {twice}")
        if again := sorted(self._gone & counts.keys()):
            self.faults.append(f"stored again after they expired: {again}")
        offsets = dict(self._offsets())
        for topic_id, partition, last in ((*k, o) for k, o in offsets.items()):
            wanted = {Origin(topic_id, partition, o) for o in range(last + 1)}
            if lost := sorted(wanted - counts.keys() - self._gone):
                self.faults.append(f"lost: {lost}")
        events = self._origins("events", self.states["events"])
        if early := [o for o in events if o.offset > offsets.get((o[0], o[1]), -1)]:
            self.faults.append(f"beyond the offset of their partition: {early}")
        self._check_order("events", self.states["events"])

    def _check_order(self, table: str, state: TableState) -> None:
        """Check that the offsets of a partition overlap in no two files of a date.

        Where a clock was set back over midnight, those of two dates may, and readers
        allow for it. Those of dead letters may, too: a record may become one when it is
        read again, before others that did so the first time.
        """
        spans: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
        for path in state.files:
            own: dict[tuple[str, int], list[int]] = {}
            for origin in self._file(table, path):
                own.setdefault(origin[:2], []).append(origin.offset)
            for place, found in own.items():
                spans.setdefault((path[:15], *place), []).append(
                    (min(found), max(found))
                )
        for found_spans in spans.values():
            if any(a[1] >= b[0] for a, b in pairwise(sorted(found_spans))):
                self.faults.append(f"files of {table} overlap")

    def check_end(self) -> None:
        """Check that all records of the present topic were read."""
        offsets = dict(self._offsets())
        for partition in range(3):
            last = offsets.get((self._broker.topic_id, partition), -1)
            if last != self._broker.records - 1:
                self.faults.append(f"partition {partition} ends at {last}")

    def _offsets(self) -> Iterator[tuple[tuple[str, int], int]]:
        for app_id, number in self.states["events"].transactions.items():
            if match := OFFSET.fullmatch(app_id):
                yield (match[1], int(match[2])), number

    def _origins(self, table: str, state: TableState) -> Counter[Origin]:
        found: Counter[Origin] = Counter()
        for path in state.files:
            found.update(self._file(table, path))
        return found

    def _file(self, table: str, path: str) -> tuple[Origin, ...]:
        found = self._store.objects.get(f"{table}/{path}")
        if found is None:
            self.faults.append(f"{table}/{path} was deleted")
            return ()
        origins: tuple[Origin, ...] = found.content.origins
        return origins
