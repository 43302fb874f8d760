"""Checks `episodes` and the memories at each log entry, and at each merge of memories.

Up to the offset that `episodes` has stored, each event is in the newest revision of
exactly one episode, and has one memory, which names this episode. A closed episode has
a memory of as many events. A merge keeps the newest revisions.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from semloop.lake.generations import FIRST_GENERATION, GENERATION
from tests.simulation.delta_log import TableState
from tests.simulation.episodes import SESSIONS, memory_id
from tests.simulation.feed import REMEMBERED, Feed, events
from tests.simulation.log_auditor import LogAuditor
from tests.simulation.processes import Scheduler
from tests.simulation.rows import Revision, newest
from tests.simulation.store import SimulatedObjects
from tests.simulation.vectors import Memory, vectors_name

EPISODES = "episodes"


class MemoryAuditor(LogAuditor):
    """Follows `episodes`."""

    tables = (EPISODES,)
    numbers = re.compile("memory/")

    def __init__(
        self, store: SimulatedObjects, scheduler: Scheduler, feed: Feed
    ) -> None:
        super().__init__(store, scheduler)
        self._feed = feed
        follow = store.on_put

        def look_at(name: str) -> None:
            follow(name)
            if name.startswith("memories/"):
                self.check_rows()

        store.on_put = look_at

    @override
    def check_change(
        self, table: str, before: TableState, actions: list[dict[str, Any]]
    ) -> None:
        adds = [a["add"] for a in actions if "add" in a]
        removes = [a["remove"] for a in actions if "remove" in a]
        if removes and not any(each["dataChange"] for each in (*adds, *removes)):
            old, new = (newest(self._rows(s)) for s in (before, self.states[table]))
            if set(old) != set(new):
                self.faults.append(f"a merge of {table} changed its rows")

    @override
    def check_rows(self) -> None:
        state = self.states[EPISODES]
        rows = self._rows(state)
        counts = Counter((r.episode_id, r.number) for r in rows)
        if twice := sorted(each for each, count in counts.items() if count > 1):
            self.faults.append(f"stored twice: {twice}")
        episodes = newest(rows)
        generation = state.transactions.get(GENERATION, FIRST_GENERATION)
        table = self.store.objects.get(vectors_name(generation))
        memories: Mapping[bytes, Memory] = table.content if table else {}
        for number in range(3):
            app_id = REMEMBERED.app_id(EPISODES, number)
            offset = state.transactions.get(app_id, -1)
            own = [r for r in episodes if r.partition == number]
            if early := [r for r in own if r.last > offset]:
                self.faults.append(f"beyond the offset of their partition: {early}")
            self._check_partition(number, offset, own, memories)

    def check_end(self) -> None:
        """Check that all events were read."""
        for number, end in self._feed.ends.items():
            app_id = REMEMBERED.app_id(EPISODES, number)
            offset = self.states[EPISODES].transactions.get(app_id, -1)
            if offset != end:
                self.faults.append(f"partition {number} ends at {offset}, not {end}")

    def is_read(self) -> bool:
        """True if `episodes` has all events that were stored."""
        found = self.states[EPISODES].transactions
        return all(
            found.get(REMEMBERED.app_id(EPISODES, number)) == end
            for number, end in self._feed.ends.items()
        )

    def _check_partition(
        self,
        number: int,
        offset: int,
        episodes: list[Revision],
        memories: Mapping[bytes, Memory],
    ) -> None:
        found: Counter[str] = Counter()
        for event in events(0, offset):
            of_it = [
                r
                for r in episodes
                if r.session == event % SESSIONS and r.first <= event <= r.last
            ]
            if len(of_it) != 1:
                self.faults.append(f"{number}/{event} is in {len(of_it)} episodes")
                return
            found[of_it[0].episode_id] += 1
            memory = memories.get(memory_id(of_it[0], event, is_episode=False))
            if memory is None:
                self.faults.append(f"no memory of {number}/{event}")
            elif memory.episode_id != of_it[0].episode_id:
                self.faults.append(f"{number}/{event} is remembered in another episode")
        for episode in episodes:
            if found[episode.episode_id] != episode.events:
                self.faults.append(f"wrong number of events: {episode}")
            memory = memories.get(memory_id(episode, -1, is_episode=True))
            if episode.closed and (memory is None or memory.events != episode.events):
                self.faults.append(f"no memory of {episode}")

    def _rows(self, state: TableState) -> list[Revision]:
        return [r for p in state.files for r in self.file(EPISODES, p).revisions]
