"""Kill a flow at random moments while events are produced, then compare sets.

The origin of a record is its acknowledged (partition, offset). Afterwards the flow's
tables together must contain exactly these origins, each once.
"""

import json
import random
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil
from confluent_kafka import Producer

from semloop.errors import LakeError
from semloop.kafka.clients import producer_config
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.support.processes import check, start
from tests.support.prompt_producer import prompt_producer
from tests.support.services import wait_for

BROKEN_EVERY = 97
PAYLOADS = (
    ("message", {"role": "user", "content": "write to ann@example.org about case {}"}),
    ("tool_call", {"tool": "search", "status": "success", "result": "flight {}"}),
    ("state_change", {"to_state": "state {}"}),
)


@dataclass
class Audit:
    """Counts of produced, lost, duplicated and unknown records."""

    produced: int
    lost: int
    duplicated: int
    unknown: int
    kills: int
    exits: Counter[int] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.unknown)


class Load(threading.Thread):
    """Produces events, one in `BROKEN_EVERY` broken, over about `seconds`."""

    def __init__(
        self,
        settings: Settings,
        events: int,
        seconds: float,
        value: Callable[[int, str], bytes] | None = None,
        *,
        prompt: bool = False,
    ) -> None:
        """Start nothing yet; `prompt`: the broker stays alive, see `prompt_producer`."""
        super().__init__(daemon=True)
        self._prompt = prompt
        self._value = value or _value
        self.origins: set[tuple[int, int]] = set()
        self._settings = settings
        self._events = events
        self._seconds = seconds

    def run(self) -> None:
        if self._prompt:
            producer = prompt_producer(self._settings)
        else:
            producer = Producer(producer_config(self._settings))
        started = time.monotonic()
        for number in range(self._events):
            session = f"s-{number // 20}"
            while True:
                try:
                    producer.produce(
                        self._settings.topic,
                        key=session,
                        value=self._value(number, session),
                        on_delivery=self._delivered,
                    )
                    break
                except BufferError:
                    producer.poll(0.05)
            if number % 500 == 0:
                producer.poll(0)
                due = started + self._seconds * number / self._events
                time.sleep(max(0.0, due - time.monotonic()))
        assert producer.flush(120) == 0

    def _delivered(self, error: object, message: object) -> None:
        assert error is None, error
        self.origins.add((message.partition(), message.offset()))  # type: ignore[attr-defined]


def _value(number: int, session: str) -> bytes:
    if number % BROKEN_EVERY == 0:
        return b'{"broken": %d' % number
    kind, payload = PAYLOADS[number % len(PAYLOADS)]
    return json.dumps(
        {
            "id": str(uuid.UUID(int=random.getrandbits(128), version=4)),
            "type": kind,
            "timestamp": datetime.now(UTC).isoformat(),
            "agent": f"agent-{number % 7}",
            "payload": {k: v.format(number) for k, v in payload.items()},
            "meta": {"session_id": session},
        }
    ).encode()


def kill_and_audit(
    settings: Settings,
    *,
    flow: str = "archive",
    tables: tuple[str, ...] = ("events", "dead_letters"),
    events: int,
    kills: int,
    seed: int,
    longest_s: float = 3.0,
    processes: int = 1,
) -> Audit:
    """Produce `events` while the flow is killed `kills` times, then let it catch up.

    A kill happens at a random time, possibly during startup. With several processes it
    ends one of them in turn, and the supervisor restarts all.
    """
    rng = random.Random(seed)
    load = Load(settings, events, seconds=kills * longest_s / 2)
    load.start()
    pauses = [rng.uniform(0.2, longest_s) for _ in range(kills)]
    if processes > 1:
        exits = _kill_members(settings, flow, tables, processes, pauses, load)
    else:
        exits = _kill_alone(settings, flow, pauses)
        load.join()
        check(settings, "run", flow, "--until-caught-up")
    found = origins(settings, tables)
    return Audit(
        produced=len(load.origins),
        lost=len(load.origins - found.keys()),
        duplicated=sum(found.values()) - len(found),
        unknown=len(found.keys() - load.origins),
        kills=exits[-signal.SIGKILL],
        exits=exits,
    )


def _kill_alone(settings: Settings, flow: str, pauses: Sequence[float]) -> Counter[int]:
    exits: Counter[int] = Counter()
    for pause_s in pauses:
        process = start(settings, "run", flow, SEMLOOP_LOG_LEVEL="error")
        try:
            process.communicate(timeout=pause_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        exits[process.returncode] += 1
    return exits


def _kill_members(
    settings: Settings,
    flow: str,
    tables: tuple[str, ...],
    processes: int,
    pauses: Sequence[float],
    load: Load,
) -> Counter[int]:
    """Kill the processes in turn; the supervisor keeps running until all is stored."""
    option = f"--processes={processes}"
    supervisor = start(settings, "run", flow, option, SEMLOOP_LOG_LEVEL="error")
    exits: Counter[int] = Counter()
    try:
        for number, pause_s in enumerate(pauses):
            wait_for("all processes", lambda: len(members(supervisor)) == processes)
            time.sleep(pause_s)
            victim = sorted(members(supervisor), key=lambda found: found.pid)[
                number % processes
            ]
            victim.kill()
            victim.wait(60)
            exits[-signal.SIGKILL] += 1
        load.join()
        wait_for("the end", lambda: _all_stored(settings, tables, load))
    finally:
        supervisor.kill()
        _, stderr = supervisor.communicate()
    assert stderr == "", "a process that lost a peer must not log an error"
    return exits


def _all_stored(settings: Settings, tables: tuple[str, ...], load: Load) -> bool:
    try:
        return origins(settings, tables).keys() >= load.origins
    except LakeError:  # no process has created the tables yet
        return False


def members(supervisor: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the child processes of a flow's supervisor."""
    assert supervisor.poll() is None, supervisor.communicate()
    return psutil.Process(supervisor.pid).children()


def origins(settings: Settings, tables: tuple[str, ...]) -> Counter[tuple[int, int]]:
    found: Counter[tuple[int, int]] = Counter()
    with Lake(settings.lake) as lake:
        for table in tables:
            query = f"SELECT kafka_partition, kafka_offset FROM {table}"
            found.update(lake.sql(query).fetchall())
    return found
