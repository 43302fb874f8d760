"""Agents check: what became of their records in the last 15 minutes."""

from collections.abc import Iterator

from semloop.command.doctor import Finding, State
from semloop.command.doctor.context import CheckContext
from semloop.command.health import Status
from semloop.command.health.agents import agent_checks, recent_records

CHECK = "agents"
STATES = {
    Status.OK: State.OK,
    Status.NOTE: State.OK,
    Status.WARN: State.WARN,
    Status.FAIL: State.FAIL,
}


def check(context: CheckContext) -> Iterator[Finding]:
    """Yield what `semloop health` says about the agents."""
    settings, storage = context.require_settings(), context.require_storage()
    for found in agent_checks(recent_records(storage, settings.topic)):
        yield Finding(CHECK, STATES[found.status], found.what, found.todo)
