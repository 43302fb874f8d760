"""Thousands of MiB in records of one to four, while the flow is killed."""

import functools
import json
import random
import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256

import psutil
import pytest

from semloop.artifacts import ArtifactReference, decode_references
from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.support.kill_and_audit import Load, origins
from tests.support.processes import start

EVENTS, LARGE_EVERY, KILLS = 20_000, 20, 20
RSS_MAX = 1_500 * 10**6
SECRET = "sk-ant-api03-" + "".join(random.Random(4).choices("abcdefgh23456789", k=80))
RNG = random.Random(8)
WORDS = [
    "the",
    "agent",
    "searched",
    "other",
    "flights",
    "and",
    "wrote",
    "line",
    "{}",
    "of",
    "its",
    "log",
]


@functools.cache
def log() -> str:
    """Return a text of several MiB; made on first use, since every run imports this."""
    lines = (" ".join(RNG.choices(WORDS, k=12)) for _ in range(70_000))
    return "\n".join(line.replace("{}", str(n)) for n, line in enumerate(lines))


def value(number: int, session: str) -> bytes:
    """Return a small event, or every twentieth time one of 1 to 4 MiB."""
    result = f"flight {number}"
    if number % LARGE_EVERY == 0:
        size = 2**20 + 1_000 + number * 7919 % (3 * 2**20 - 150_000)
        cut = number * 31 % 2_000
        head, tail = log()[cut : cut + size // 2], log()[: size - size // 2]
        result = f"{head}\nkey {SECRET}\n{tail}"
    payload = {"tool": "cat", "status": "success", "result": result}
    return json.dumps(
        {
            "id": str(uuid.UUID(int=number)),
            "type": "tool_call",
            "timestamp": datetime.now(UTC).isoformat(),
            "agent": "cat",
            "payload": payload,
            "meta": {"session_id": session},
        }
    ).encode()


def references(settings: Settings) -> Iterator[ArtifactReference]:
    with Lake(settings=settings) as lake:
        rows = lake.sql("SELECT artifacts FROM events WHERE artifacts IS NOT NULL")
        for (column,) in rows.fetchall():
            yield from decode_references(column)


def run_for(settings: Settings, seconds: float) -> int:
    """Run the flow until it has caught up, or kill it; return its largest RSS."""
    process = start(
        settings, "run", "archive", "--until-caught-up", SEMLOOP_LOG_LEVEL="error"
    )
    largest, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            _, stderr = process.communicate(timeout=0.2)
        except subprocess.TimeoutExpired:
            largest = max(largest, psutil.Process(process.pid).memory_info().rss)
        else:
            assert process.returncode == 0, stderr
            return largest
    process.kill()
    process.communicate()
    return largest


@pytest.mark.storm
@pytest.mark.timeout(3600)
def test_large_records_are_stored_exactly_once_while_the_flow_is_killed(
    settings: Settings,
) -> None:
    TopicAdmin(settings).ensure()
    load = Load(settings, EVENTS, seconds=60, value=value)
    load.start()
    rng = random.Random(5)
    used = [run_for(settings, rng.uniform(1, 14)) for _ in range(KILLS)]
    load.join()
    used.append(run_for(settings, 3_000))
    found = origins(settings, ("events", "dead_letters"))
    assert found.keys() == load.origins
    assert set(found.values()) == {1}
    named = list(references(settings))
    print(f"at most {max(used) / 2**20:.0f} MiB, {len(named)} artifacts")
    assert len(named) >= EVENTS // LARGE_EVERY
    storage = Storage.of(settings)
    for reference in named:
        content = storage.read(reference.object)
        assert content is not None
        assert sha256(content).hexdigest() == reference.sha256
        assert SECRET.encode() not in content
    assert max(used) < RSS_MAX
