"""Activity of the flows: last signs of life, and what became of recent records.

Each worker of a flow replaces one small file of its own in the lake's `_activity/`, so
that `health` and `status` see what metrics tell only while a process answers. The file
is for people: no flow resumes from it, and a crash may count a few records twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from semloop.boot_clock import BootTime, Moment
from semloop.errors import LakeError
from semloop.settings import DEFAULT_TOPIC, Settings

if TYPE_CHECKING:
    from semloop.storage.location import Storage

FOLDER = "_activity"
# Counts are kept for this long, by minute.
WINDOW_S = 15 * 60
MINUTE_MS = 60_000
# Kinds of records in addition to the reasons of dead letters.
DUPLICATE = "duplicate"
MISROUTED = "misrouted"
# Counts by agent and minute in one file; those of further agents are added up under
# this name, so that made-up names cannot fill the lake.
AGENTS_MAX = 100
OTHERS = "(other agents)"
DETAIL_CHARS_MAX = 200
# Workers of a flow whose files are read.
WORKERS_MAX = 256
# A flow shows a sign of life every second, in an object store every ten.
SILENT_S = 30.0
# One batch may take a slow embedder minutes, and storage may be down for a while: a
# restart would only repeat that. Only what is silent for much longer hangs.
LIVE_SILENT_S = 600.0


class Tally(msgspec.Struct):
    """Records of one kind, with the id of a recent one and the detail of a refusal.

    The id is that of a dead letter, or of an event for the other kinds.
    """

    count: int = 0
    example: str = ""
    detail: str = ""

    def add(self, other: "Tally") -> None:
        """Add later records."""
        self.count += other.count
        self.example = other.example or self.example
        self.detail = (other.detail or self.detail)[:DETAIL_CHARS_MAX]


class AgentCounts(msgspec.Struct):
    """What became of the records of one agent.

    Attributes:
        accepted: new events, misrouted ones included.
        tallies: kind -> records: reasons of dead letters, `DUPLICATE`, `MISROUTED`.
        ahead_ms: how much later than its Kafka timestamp an accepted event was at most.
        late: events that came over `delivery_max_s` after their Kafka timestamp.
        behind_ms: by how much at most.
    """

    accepted: int = 0
    tallies: dict[str, Tally] = {}
    ahead_ms: int = 0
    late: int = 0
    behind_ms: int = 0

    @property
    def refused(self) -> int:
        """Number of dead letters."""
        kinds = self.tallies.keys() - {DUPLICATE, MISROUTED}
        return sum(self.tallies[kind].count for kind in kinds)

    @property
    def records(self) -> int:
        """Number of all records."""
        return self.accepted + self.refused + self.count(DUPLICATE)

    def count(self, kind: str) -> int:
        """Return the number of records of a kind."""
        return self.tallies[kind].count if kind in self.tallies else 0

    def add(self, other: "AgentCounts") -> None:
        """Add later records."""
        self.accepted += other.accepted
        self.ahead_ms = max(self.ahead_ms, other.ahead_ms)
        self.late += other.late
        self.behind_ms = max(self.behind_ms, other.behind_ms)
        for kind, tally in other.tallies.items():
            self.tallies.setdefault(kind, Tally()).add(tally)


class Activity(msgspec.Struct):
    """Content of the file of one worker.

    Attributes:
        at_ms: when the worker last finished an item, wall clock.
        at_boot: the same by the boot clock of its machine; None where it has none.
        caught_up_ms: when a flow that reads the lake had last read all of it, or when a
            run of a scheduled flow last ended.
        caught_up_boot: the same by the boot clock.
        partitions: `TOPIC_ID/NUMBER` of the partitions that it owns.
        ended: True if its input ended, as that of `--until-caught-up`.
        stopped: why the flow stopped itself, and what to do; empty after a commit.
        minutes: minutes since 1970 -> agent -> what became of its records.
    """

    at_ms: int
    caught_up_ms: int | None = None
    partitions: list[str] = []
    ended: bool = False
    minutes: dict[int, dict[str, AgentCounts]] = {}
    at_boot: BootTime | None = None
    caught_up_boot: BootTime | None = None
    stopped: list[str] = []

    @property
    def at(self) -> Moment:
        """When the worker last finished an item."""
        return Moment(self.at_ms, self.at_boot)

    @property
    def caught_up(self) -> Moment | None:
        """When the flow had last done all that was to do; None if it does not say."""
        if self.caught_up_ms is None:
            return None
        return Moment(self.caught_up_ms, self.caught_up_boot)

    def count(self, found: Mapping[str, AgentCounts], now_ms: int) -> None:
        """Add counts of the current minute, and drop those that are too old."""
        agents = self.minutes.setdefault(now_ms // MINUTE_MS, {})
        for agent, counts in found.items():
            known = agent in agents or len(agents) < AGENTS_MAX
            agents.setdefault(agent if known else OTHERS, AgentCounts()).add(counts)
        self.minutes = {
            m: agents for m, agents in self.minutes.items() if _is_recent(m, now_ms)
        }


@dataclass(frozen=True)
class FlowActivity:
    """The signs of life of a flow: the oldest ones of its partitions.

    Attributes:
        age_ms: of the sign of life; None if it is dated in the future.
        behind_ms: since when the flow has not read all of its input; None if it does
            not say, or dates it in the future.
        ended: True if its input ended, or it was stopped.
        stopped: why it stopped itself, and what to do; empty if it did not.
    """

    age_ms: int | None
    behind_ms: int | None
    ended: bool
    stopped: tuple[str, ...] = ()


def live_silent_s(settings: Settings) -> float:
    """Return for how long a flow may show no sign of life before it is restarted."""
    return max(LIVE_SILENT_S, 5 * settings.commits.storage_retry_s)


def files_of(flow: str, topic: str) -> str:
    """Return how the names of a flow's files begin: each topic has files of its own."""
    digest = sha256(topic.encode()).hexdigest()[:8]
    return flow if topic == DEFAULT_TOPIC else f"{flow}-{digest}"


def file_name(flow: str, worker: int) -> str:
    """Return the name of a worker's file in the lake."""
    return f"{FOLDER}/{flow}-{worker}.json"


def read_file(storage: "Storage", flow: str, worker: int) -> Activity | None:
    """Return the activity of a worker; None if it has no file, or an unreadable one.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    data = storage.read(file_name(flow, worker))
    try:
        return None if data is None else msgspec.json.decode(data, type=Activity)
    except msgspec.MsgspecError:  # of another version; the next write replaces it
        return None


def note_stop(storage: "Storage", flow: str) -> None:
    """Note that a flow whose processes have ended was stopped on purpose.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
        OSError: a file cannot be written.
    """
    for worker, activity in enumerate(read_flow(storage, flow)):
        activity.ended = True
        storage.replace(file_name(flow, worker), msgspec.json.encode(activity))


def read_flow(storage: "Storage", flow: str) -> list[Activity]:
    """Return the activities of all workers that a flow had so far, in their order.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it does not answer.
    """
    found: list[Activity] = []
    for worker in count():
        activity = read_file(storage, flow, worker)
        if activity is None:
            return found
        if worker >= WORKERS_MAX:
            msg = f"{FOLDER} has the files of over {WORKERS_MAX} workers of {flow}."
            raise LakeError(msg, "Remove those of workers that no longer exist.")
        found.append(activity)
    return found


def sign_of_life(activities: list[Activity], now: Moment) -> FlowActivity | None:
    """Return the oldest sign of life among the partitions; None before the first.

    Workers of an earlier, larger set do not count where a later one owns their
    partitions, nor do those of a topic that was deleted.
    """
    if not activities:
        return None
    activities = sorted(activities, key=lambda activity: _recency(activity, now))
    # A worker without partitions, of more workers than partitions, has no input.
    newest = ([a for a in activities if a.partitions] or activities)[-1]
    topics = {partition.rpartition("/")[0] for partition in newest.partitions}
    owners: dict[str, Activity] = {}
    for activity in activities:
        owners |= dict.fromkeys(activity.partitions, activity)
    current = [
        activity
        for partition, activity in owners.items()
        if partition.rpartition("/")[0] in topics
    ] or [newest]
    ages = [activity.at.age_ms(now) for activity in current]
    levels = [activity.caught_up for activity in current]
    behind = [None if level is None else level.age_ms(now) for level in levels]
    stopped = next((tuple(a.stopped) for a in current if a.stopped), ())
    ended = all(activity.ended for activity in current)
    return FlowActivity(_longest(ages), _longest(behind), ended, stopped)


def _recency(activity: Activity, now: Moment) -> tuple[bool, int]:
    """Return what grows with the time of an activity.

    A time in the future is of a clock that was wrong, so all others are later.
    """
    age_ms = activity.at.age_ms(now)
    return (age_ms is not None, activity.at_ms if age_ms is None else -age_ms)


def _longest(times_ms: list[int | None]) -> int | None:
    known = [ms for ms in times_ms if ms is not None]
    return max(known) if len(known) == len(times_ms) else None


def last_end(run: Activity) -> Moment | None:
    """Return when a run of a scheduled flow last ended; None before the first end."""
    return run.caught_up or (run.at if run.ended else None)


def recent_by_agent(activities: list[Activity], now_ms: int) -> dict[str, AgentCounts]:
    """Return what became of the records of the last 15 minutes, by agent.

    The name is empty for records whose agent cannot be read.
    """
    found: dict[str, AgentCounts] = {}
    minutes = [
        (minute, agents)
        for activity in activities
        for minute, agents in activity.minutes.items()
        if _is_recent(minute, now_ms)
    ]
    for _, agents in sorted(minutes, key=lambda entry: entry[0]):
        for agent, counts in agents.items():
            found.setdefault(agent, AgentCounts()).add(counts)
    return found


def _is_recent(minute: int, now_ms: int) -> bool:
    # A clock that was ahead wrote later minutes; hosts may differ by a minute.
    oldest = (now_ms - WINDOW_S * 1_000) // MINUTE_MS
    return oldest < minute <= now_ms // MINUTE_MS + 1
