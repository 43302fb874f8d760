"""Checks the tables of `archive` at each log entry, at the moment at which it is put.

A record is exactly once in exactly one table, up to the offset that the main table has
stored, and no event is beyond it. A merge keeps the rows of the files that it replaces.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from typing_extensions import override

from tests.simulation.archive import Broker
from tests.simulation.delta_log import TableState
from tests.simulation.log_auditor import LogAuditor
from tests.simulation.processes import Scheduler
from tests.simulation.rows import Origin
from tests.simulation.store import SimulatedObjects

OFFSET = re.compile(r"archive/events/cluster-1/([\w-]+)/(\d+)")
TABLES = ("events", "dead_letters")


class Auditor(LogAuditor):
    """Follows `events` and `dead_letters`."""

    tables = TABLES
    numbers = re.compile("archive/")

    def __init__(
        self, store: SimulatedObjects, scheduler: Scheduler, broker: Broker
    ) -> None:
        super().__init__(store, scheduler)
        self._broker = broker
        # Rows that maintenance may remove, and those that it has removed.
        self.expirable: set[Origin] = set()
        self._gone: set[Origin] = set()

    @override
    def check_change(
        self, table: str, before: TableState, actions: list[dict[str, Any]]
    ) -> None:
        adds = [a["add"] for a in actions if "add" in a]
        removes = [a["remove"] for a in actions if "remove" in a]
        old, new = (
            self._origins(table, before),
            self._origins(table, self.states[table]),
        )
        if removes and not any(each["dataChange"] for each in (*adds, *removes)):
            if old != new:
                self.faults.append(f"a merge of {table} changed its rows")
            return
        for path in (f"{table}/{add['path']}" for add in adds):
            if path in self.store.objects and self.store.objects[path].content.foreign:
                self.faults.append("rows are stored under the id of another topic")
        lost = (old - new).keys()
        if lost:
            if not lost <= self.expirable:
                self.faults.append(f"rows of {table} were removed: {sorted(lost)}")
            self._gone |= lost

    @override
    def check_rows(self) -> None:
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
            for origin in self.file(table, path).origins:
                own.setdefault(origin[:2], []).append(origin.offset)
            for place, found in own.items():
                spans.setdefault((path[:15], *place), []).append(
                    (min(found), max(found))
                )
        for found_spans in spans.values():
            if any(a[1] >= b[0] for a, b in pairwise(sorted(found_spans))):
                self.faults.append(f"files of {table} overlap")

    def is_read(self) -> bool:
        """True if the tables have all records of the present topic."""
        topic_id, last = self._broker.topic_id, self._broker.records - 1
        offsets = dict(self._offsets())
        return all(offsets.get((topic_id, number)) == last for number in range(3))

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
            found.update(self.file(table, path).origins)
        return found
