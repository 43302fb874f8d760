"""Checks of the embedded broker: that it answers, CPU, memory, room for records."""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from semloop.command.health import Check, Status, failed
from semloop.command.stack.broker import LOG_FOLDER
from semloop.command.stack.process import Process
from semloop.command.stack.state import BROKER, Stack
from semloop.command.stack.usage import (
    SAMPLE_S,
    SAMPLES_MAX,
    Usage,
    read_usage,
)

if TYPE_CHECKING:
    from semloop.kafka.topic import Topic

# It uses a few percent of a core for 50 events per second, however much it holds.
SHARE_WARN, SHARE_FAIL = 0.5, 0.9
# Less is not enough to tell a fault from a start or an import.
SECONDS_MIN = 60.0
# A supervisor that works writes a sample every 15 seconds.
UNMEASURED_S = 60.0
# A large import uses a core for minutes; all that is watched must be of this kind.
FAIL_SECONDS_MIN = SAMPLE_S * (SAMPLES_MAX - 1)
# It uses about 30 MiB; a few large requests at a time add some.
MEMORY_WARN_MB, MEMORY_FAIL_MB = 256.0, 512.0
FULL_WARN, FULL_FAIL = 0.7, 0.95
STATE_FILE = "state.json"
DOWN_UP = "`semloop down`, then `semloop up`"
RESTART = f"Run {DOWN_UP}: the records are kept."


class _Topic(msgspec.Struct):
    id: uuid.UUID


class _State(msgspec.Struct):
    topics: dict[str, _Topic]


def broker_checks(folder: Path, broker: Process | None) -> Iterator[Check]:
    """Yield the checks of the broker of a running stack.

    Args:
        folder: of the stack.
        broker: its process; None while it does not run.
    """
    usage = read_usage(folder)
    held = broker.memory_bytes() if broker else None
    if broker is None or held is None:
        return
    if usage is None or usage.age_s > UNMEASURED_S:
        if (broker.age_s() or 0.0) > UNMEASURED_S:
            what = "the CPU of the broker is not measured: the supervisor is blocked"
            yield _check("kafka.cpu", Status.WARN, what, RESTART)
    elif usage.pid == broker.pid and usage.seconds >= SECONDS_MIN:
        yield _cpu(usage)
    memory_mb = held / 2**20
    text = f"the broker uses {memory_mb:.0f} MiB of memory"
    state = _judged(memory_mb, MEMORY_WARN_MB, MEMORY_FAIL_MB)
    yield _check("kafka.memory", state, text, RESTART, memory_mb=round(memory_mb))
    if usage is not None:
        yield _full(folder / LOG_FOLDER, usage.mb_max)


def own_broker(stack: Stack, topic: "Topic | None") -> Check | None:
    """Return what is wrong if the broker that answers is not that of a running stack.

    Args:
        stack: with an embedded broker.
        topic: as the broker at its address describes it; None if it does not.
    """
    broker, where = stack.broker(), stack.kafka
    if broker is None or broker.find() is None:
        what = f"the broker of this stack, {where}, runs"
        todo = (
            f"Its supervisor restarts it. See {BROKER}.log: another program may have "
        )
        todo += f"its port. Stop that one, or run {DOWN_UP}."
        return failed("kafka.broker", what, todo)
    if topic is not None and topic.topic_id != stack.topic_id:
        what = f"topic {topic.name!r} at {where} is the one that this stack created"
        todo = "It was created again, or is another server's; agents keep their events "
        todo += f"in their spools. If it stays so, run {DOWN_UP}."
        return failed("kafka.topic", what, todo)
    return None


def _cpu(usage: Usage) -> Check:
    percent = 100 * usage.share
    text = f"the broker used {percent:.0f} % of a core in the last "
    text += f"{usage.seconds / 60:.0f} minutes"
    todo = f"After a large import, wait for five minutes. If it stays so: {RESTART}"
    state = _judged(usage.share, SHARE_WARN, SHARE_FAIL)
    if state is Status.FAIL and usage.seconds < FAIL_SECONDS_MIN:
        state = Status.WARN
    return _check("kafka.cpu", state, text, todo, percent=round(percent, 1))


def _full(log: Path, mb_max: int) -> Check:
    held: Counter[str] = Counter()
    for file in log.glob("*.log"):
        held[file.name.partition("-")[0]] += _size(file)
    held_mb = held.total() / 2**20
    text = f"the broker holds {held_mb:.0f} of at most {mb_max} MiB"
    if name := _topic(log, *(topic for topic, _ in held.most_common(1))):
        text += f", most of it in topic {name!r}"
    todo = "Start `archive` (`semloop up`), or read its log: what is in the lake makes "
    todo += "room. Meanwhile agents keep their events in their spools. If `archive` "
    todo += "does not read the topic, delete it with a Kafka client."
    state = _judged(held_mb / mb_max, FULL_WARN, FULL_FAIL)
    figures = {"held_mb": round(held_mb, 1), "mb_max": mb_max}
    return _check("kafka.full", state, text, todo, **figures)


def _topic(log: Path, topic_id: str = "") -> str:
    """Return the name of a topic of the broker; empty if it is not known."""
    with suppress(OSError, msgspec.MsgspecError):
        found = msgspec.json.decode((log / STATE_FILE).read_bytes(), type=_State)
        for name, topic in found.topics.items():
            if topic.id.hex == topic_id:
                return name
    return ""


def _size(file: Path) -> int:
    with suppress(OSError):  # it was deleted since it was listed
        return file.stat().st_size
    return 0


def _judged(value: float, warn: float, fail: float) -> Status:
    if value >= fail:
        return Status.FAIL
    return Status.WARN if value >= warn else Status.OK


def _check(code: str, status: Status, what: str, todo: str, **figures: float) -> Check:
    return Check(code, status, what, "" if status is Status.OK else todo, figures)
