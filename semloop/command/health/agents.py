"""Checks of what became of the agents' records in the last 15 minutes.

No content of a record is shown: only names, reasons, ids and numbers.
"""

import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

from semloop.command.health import Check, Status, passed
from semloop.command.health.reasons import meaning
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_count
from semloop.flow_registry import ARCHIVE
from semloop.progress.activity import (
    DUPLICATE,
    MISROUTED,
    AgentCounts,
    Tally,
    files_of,
    read_flow,
    recent_by_agent,
)
from semloop.storage.location import Storage

# Below either bound a few bad records are no fault of an agent as a whole.
SHARE_MIN = 0.05
RECORDS_MIN = 20
# Clocks that NTP keeps differ by less than a second.
AHEAD_MS_MIN = 60_000
# A clock that is behind makes all records late; an outage only those of its time.
LATE_SHARE_MIN = 0.5
# Dead letters take their id from a header, which may have any length.
ID_CHARS_SHOWN = 64
REASONS_SHOWN = 3
NO_NAME = "records without a readable agent"
PERIOD = "of the last 15 minutes"


def recent_records(storage: Storage, topic: str) -> dict[str, AgentCounts]:
    """Return what became of a topic's records of the last 15 minutes, by agent.

    Raises:
        LakeError: the lake cannot be read. StorageUnavailable: temporarily.
    """
    now_ms = time.time_ns() // 1_000_000
    return recent_by_agent(read_flow(storage, files_of(ARCHIVE.name, topic)), now_ms)


def agent_checks(found: Mapping[str, AgentCounts]) -> list[Check]:
    """Return a check per problem of an agent; one that passes otherwise."""
    records = sum(counts.records for counts in found.values())
    checks = [
        check
        for agent in sorted(found)
        for check in problems_of(agent, found[agent], records)
    ]
    if checks:
        return checks
    refused = sum(counts.refused for counts in found.values())
    what = f"{format_count(records, 'record')} {PERIOD}: {refused:,} refused"
    return [passed("agent.refused", what, records=records, refused=refused)]


def problems_of(agent: str, counts: AgentCounts, total: int) -> Iterator[Check]:
    """Yield a check per problem of an agent.

    Args:
        agent: its name; empty for records without a readable one.
        counts: what became of its records.
        total: records of all agents.
    """
    # What is not JSON has no name: of the records without one, all are refused.
    records = counts.records if agent else total
    refused = {
        kind: tally
        for kind, tally in counts.tallies.items()
        if kind not in (DUPLICATE, MISROUTED)
    }
    if _is_many(counts.refused, records):
        yield _check("agent.refused", agent, records, refused, "were refused")
    for code, kind, verb in (
        ("agent.duplicates", DUPLICATE, "repeated the id of an event"),
        ("agent.misrouted", MISROUTED, "had another key than their session"),
    ):
        if _is_many(counts.count(kind), records):
            tallies = {kind: counts.tallies[kind]}
            yield _check(code, agent, records, tallies, verb)
    if counts.ahead_ms >= AHEAD_MS_MIN:
        yield _clock_ahead(agent, counts.ahead_ms / 1_000)
    if counts.late > LATE_SHARE_MIN * counts.records:
        yield _clock_behind(agent, counts)


def _clock_behind(agent: str, counts: AgentCounts) -> Check:
    behind_s = counts.behind_ms / 1_000
    what = f"agent {agent!r}: {counts.late:,} of {counts.records:,} records came up to "
    what += f"{format_duration(behind_s)} after their Kafka timestamp: the clock of "
    what += "their producer is behind, or it holds them"
    todo = "Synchronize the clock of the agent's host with NTP; where the broker sets "
    todo += "the timestamp, that of the broker."
    figures = {"agent": agent or None, "behind_s": behind_s, "late": counts.late}
    return Check("agent.clock", Status.WARN, what, todo, figures)


def _clock_ahead(agent: str, ahead_s: float) -> Check:
    ahead = format_duration(ahead_s)
    what = f"agent {agent!r}: its events are dated up to {ahead} later than Kafka's "
    what += "timestamp; at 5 minutes they are refused"
    todo = "Synchronize the clock of the agent's host with NTP."
    figures = {"agent": agent or None, "ahead_s": ahead_s}
    return Check("agent.clock", Status.WARN, what, todo, figures)


def _is_many(count: int, records: int) -> bool:
    return count >= RECORDS_MIN and count >= SHARE_MIN * records


def _check(
    code: str,
    agent: str,
    records: int,
    tallies: Mapping[str, Tally],
    verb: str,
) -> Check:
    ordered = sorted(tallies.items(), key=lambda entry: -entry[1].count)
    number = sum(tally.count for tally in tallies.values())
    kind, most = ordered[0]
    name = f"agent {agent!r}" if agent else NO_NAME
    what = f"{name}: {number:,} of {format_count(records, 'record')} {PERIOD} "
    what += verb
    is_refusal = code == "agent.refused"
    if is_refusal:
        reasons = [_reason(*entry) for entry in ordered[:REASONS_SHOWN]]
        what += f": {', '.join(reasons)}"
    example = most.example[:ID_CHARS_SHOWN]
    what += f"; for example {'dead letter' if is_refusal else 'event'} {example}"
    todo = meaning(kind)
    if is_refusal:
        todo += f" See it: semloop dlq show {shlex.quote(example)}"
    figures: dict[str, Any] = {
        "agent": agent or None,
        "records": records,
        "affected": number,
        "kinds": {kind: tally.count for kind, tally in ordered},
        "example": example,
    }
    return Check(code, Status.FAIL, what, todo, figures)


def _reason(reason: str, tally: Tally) -> str:
    detail = f" ({tally.detail})" if tally.detail else ""
    return f"{tally.count:,} {reason}{detail}"
