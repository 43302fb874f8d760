"""Follows the logs of a store, and checks what holds for each table.

Offsets and fences only grow. A file that the newest version has exists, and so does one
that it had until a query on it may have ended.
"""

import math
import re
from abc import ABC, abstractmethod
from typing import Any

from semloop.delta.fence import FENCE
from tests.simulation.delta_log import CHECKPOINT, EMPTY, Log, TableState, actions_of
from tests.simulation.processes import HOUR_S, Process, Scheduler
from tests.simulation.rows import Rows
from tests.simulation.store import SimulatedObjects
from tests.support.builders import NOW as START

ENTRY = re.compile(r"(\w+)/_delta_log/(\d{20})\.json")
# How long a query may run on the files of a version that is no longer the newest.
QUERY_H = 20.0
# What a vacuum keeps files for, beyond that.
LATE_H = 4.0


class LogAuditor(ABC):
    """Follows the tables of a store; `faults` are what it has found."""

    # The tables, and the app ids of offsets and fences in the main one.
    tables: tuple[str, ...]
    numbers: re.Pattern[str]

    def __init__(self, store: SimulatedObjects, scheduler: Scheduler) -> None:
        self.store, self._scheduler = store, scheduler
        self.states: dict[str, TableState] = dict.fromkeys(self.tables, EMPTY)
        self.faults: list[str] = []
        self.commits = 0
        # Name of a file -> when a log entry removed it, by the clock of the store.
        self._removed_s: dict[str, float] = {}
        self._expired_files: set[str] = set()
        self._stored_by: dict[tuple[str, str], Process | None] = {}
        store.on_put = self._look_at
        store.on_remove = self._look_for

    @abstractmethod
    def check_change(
        self, table: str, before: TableState, actions: list[dict[str, Any]]
    ) -> None:
        """Check an entry that adds or removes files; `states` has the version of it."""

    @abstractmethod
    def is_read(self) -> bool:
        """True if the tables have all records that there are."""

    @abstractmethod
    def check_end(self) -> None:
        """Check that a last writer has read all records."""

    @abstractmethod
    def check_rows(self) -> None:
        """Check the rows of the newest versions."""

    def _look_at(self, name: str) -> None:
        if CHECKPOINT.search(name):
            self._forget_expired(name)
        match = ENTRY.fullmatch(name)
        if match is None or match[1] not in self.tables:
            return
        table, version = match[1], int(match[2])
        before = self.states[table]
        if version <= before.version:
            # The log was cleaned up to a checkpoint: the entry has no effect.
            return
        self.commits += 1
        actions = actions_of(self.store, name)
        after = self.states[table] = Log(self.store, table).next(before)
        self._check_numbers(table, before, actions)
        self._note_removed(table, actions)
        if before.files.keys() != after.files.keys():
            self.check_change(table, before, actions)
        self.check_rows()

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
        table, state = checkpoint.partition("/")[0], self.store.objects[checkpoint]
        own = {name for name in self._expired_files if name.startswith(f"{table}/")}
        for name in own - {f"{table}/{path}" for path in state.content.removed}:
            self._removed_s.pop(name, None)

    def _look_for(self, name: str) -> None:
        """Check that an object that was removed is needed no more, by queries either."""
        table, _, path = name.partition("/")
        if table in self.tables and path in self.states[table].files:
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
            if not self.numbers.match(app_id):
                continue
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

    def file(self, table: str, path: str) -> Rows:
        """Return the content of a file that a version has."""
        found = self.store.objects.get(f"{table}/{path}")
        if found is None:
            self.faults.append(f"{table}/{path} was deleted")
            return Rows((), START, START)
        content: Rows = found.content
        return content
