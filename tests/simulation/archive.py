"""Processes of the flow `archive` on a simulated lake and broker."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import pyarrow as pa

from schemas.batches import Decoded, Progress
from schemas.metrics import Metrics
from semloop.delta.query import OpenTable, WriterQueries
from semloop.delta.streams import Partition, StreamId
from semloop.errors import TopicChanged
from semloop.settings import Settings, load
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sinks.archive_tables import ArchiveTables
from sinks.commit_loop import CommitLoop
from sinks.delta.delta_log import DeltaLog
from sinks.flow_tables import FlowContext
from sinks.session_rows import RESTORED
from tests.simulation.choices import Choices
from tests.simulation.delta_table import SimulatedTable
from tests.simulation.episodes import revision_rows
from tests.simulation.processes import Scheduler
from tests.simulation.rows import SimulatedLog, newest, rows_of
from tests.simulation.rule import Rule
from tests.simulation.store import SimulatedStorage

PARTITIONS = (0, 1, 2)
# Handles are opened again after three commits, which would be a hundred.
SETTINGS: Settings = load(
    {}, lake="s3://simulated/lake", storage_retry_s=5, reopen_commits=3
)
METRICS = Metrics()
BEHIND_MAX = 8


@dataclass
class Broker:
    """A topic that may be made again; `topics`: topic id -> records per partition."""

    records: int
    topics: dict[str, int] = field(default_factory=dict)

    def make_topic(self) -> None:
        """Replace the topic by one whose offsets begin at 0."""
        self.topics[f"topic-{len(self.topics)}"] = self.records

    @property
    def topic_id(self) -> str:
        """Id of the present topic."""
        return list(self.topics)[-1]

    def stream(self) -> StreamId:
        """Return the stream of the present topic."""
        return StreamId("archive", "cluster-1", "agent-events", self.topic_id)


class SimulatedQueries(WriterQueries):
    """Lookups on data files in memory."""

    def __init__(self, storage: Storage) -> None:
        assert isinstance(storage, SimulatedStorage)
        self._storage, self._store = storage, storage.simulated

    def origins_beyond(
        self, table: OpenTable, topic_id: str, offset: int
    ) -> set[tuple[int, int]]:
        handle, store = table.handle, self._store
        assert isinstance(handle, SimulatedTable)
        found = set()
        with storage_errors(self._storage, f"read table {table.name}"):
            for path in handle.files:
                rows = store.content(f"{table.name}/{path}").origins
                found |= {(o[1], o[2]) for o in rows if o.topic_id == topic_id}
        return {(p, o) for p, o in found if o > offset}

    def existing_events(self, table: OpenTable, keys: Set[str]) -> set[str]:
        raise NotImplementedError

    def rows_of(
        self, table: OpenTable, query: str, values: Sequence[object] = ()
    ) -> pa.Table:
        """Return the newest revisions: of queries of rows, only that of a restart."""
        assert query is RESTORED
        handle, store = table.handle, self._store
        assert isinstance(handle, SimulatedTable)
        with storage_errors(self._storage, f"read table {table.name}"):
            files = [store.content(f"{table.name}/{path}") for path in handle.files]
        return revision_rows(newest(r for file in files for r in file.revisions))


def context_of(
    storage: SimulatedStorage, scheduler: Scheduler, rule: Rule
) -> FlowContext:
    """Return what a process needs, of which `rule` may take a part out."""

    def open_log(storage: Storage, name: str) -> DeltaLog:
        return rule.wrap_log(SimulatedLog(storage, name))

    return FlowContext(
        SETTINGS,
        storage,
        METRICS,
        scheduler.machine_s,
        open_log,
        open_queries=SimulatedQueries,
        boot_clock=lambda: None,
    )


def run_archive(
    context: FlowContext,
    broker: Broker,
    owned: list[int],
    choices: Choices,
    rule: Rule,
) -> None:
    """Take over, read to the end of the partitions, and end."""
    stream, topic_id = broker.stream(), broker.topic_id

    def same_topic() -> None:
        if broker.topic_id != topic_id:
            msg = "The topic was made again."
            raise TopicChanged(msg)

    tables = ArchiveTables(context, stream, owned, same_topic)
    positions = {p.number: o for p, o in rule.take_over(tables).items()}
    loop = CommitLoop(SETTINGS, tables, context.clock)
    count = broker.topics[topic_id]
    while any(position < count - 1 for position in positions.values()):
        # A client continues at the same offsets where the topic was made again.
        read_from = broker.topic_id
        loop.add(_poll((topic_id, read_from), positions, count, choices))


def _poll(
    topics: tuple[str, str], positions: dict[int, int], count: int, choices: Choices
) -> Decoded:
    """Return the next records; a verdict may differ from that of an earlier attempt."""
    good: list[tuple[int, int]] = []
    dead: list[tuple[int, int]] = []
    # A broker may tell an earlier end of its log.
    if choices.occurs(0.03):
        at = {Partition(topics[0], p): o - 2 for p, o in positions.items()}
        return _decoded(topics, (good, dead), count, Progress(at, last=True))
    for partition, position in positions.items():
        for offset in range(position + 1, min(count, position + 1 + BEHIND_MAX)):
            if choices.occurs(0.1):
                break
            is_dead = choices.occurs(0.2)
            (dead if is_dead else good).append((partition, offset))
            positions[partition] = offset
    at = {Partition(topics[0], p): o for p, o in positions.items()}
    progress = Progress(at, last=not choices.occurs(0.2))
    return _decoded(topics, (good, dead), count, progress)


def _decoded(
    topics: tuple[str, str],
    places: tuple[list[tuple[int, int]], list[tuple[int, int]]],
    count: int,
    progress: Progress,
) -> Decoded:
    events = rows_of(*topics, places[0], letters=False, count=count)
    letters = rows_of(*topics, places[1], letters=True, count=count)
    return Decoded(events, letters, progress)
