"""`semloop status`: state of broker, lake, flows and agents."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from semloop.command.cli import status_report
from semloop.command.stack.state import RESTARTING, STOPPED
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.output import Format, Row, print_rows
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import spinner
from semloop.settings import load

AGENTS_SHOWN = 20


class StatusFormat(StrEnum):
    """Output format of a report."""

    TABLE = "table"
    JSON = "json"


Form = Annotated[StatusFormat, typer.Option("--format", help="Output format.")]


def status(form: Form = StatusFormat.TABLE) -> None:
    """Show broker, tables, the progress of each flow and the agents' records."""
    with spinner("Checking ..."):
        found = status_report.status(load())
    if form is StatusFormat.JSON:
        say(json.dumps(found, indent=2))
    else:
        _print_status(found)


def _print_status(found: Mapping[str, Any]) -> None:
    kafka, lake = found["kafka"], found["lake"]
    if lake["not_running"]:
        say(f"Stack  {lake['not_running']}; start it: `semloop up`")
    answers = "answers" if kafka["reachable"] else "DOES NOT ANSWER"
    kind = " (embedded)" if kafka["embedded"] else ""
    partitions = kafka["partitions"]
    exists = f"with {partitions} partitions" if partitions else "does not exist yet"
    topic = f", topic {kafka['topic']!r} {exists}" if kafka["reachable"] else ""
    if kafka["refusal"]:
        topic = f", but refuses requests: {kafka['refusal']}"
    where = f"{kafka['address']}{kind} {answers}{topic}"
    say(f"Kafka  {where if kafka['address'] else 'no broker is set'}")
    state = "" if lake["tables"] else " has no tables yet"
    say(f"Lake   {lake['path']}{state if lake['readable'] else ' CANNOT BE READ'}")
    for line in (lake["problem"] or "").splitlines():
        say(f"       {line}")
    names = ("rows", "version", "files", "bytes")
    if lake["tables"]:
        rows = [(t, *(at[n] for n in names)) for t, at in lake["tables"].items()]
        print_rows(["table", *names], rows, Format.TABLE)
    for name, flow in found["flows"].items():
        pid = f", pid {flow['pid']}" if flow["pid"] else ""
        restarts = _restarts(flow)
        say(f"Flow   {name}: {flow['state']}{pid}{restarts}{_behind(flow)}")
        if flow["stopped"]:
            say(f"       stopped: {flow['stopped']}")
        if flow["stopped"] or flow["state"] in (STOPPED, RESTARTING):
            say("       What to do: `semloop health`.")
        for line in status_report.key_lines(flow["misrouted"], flow["repeated"]):
            say(f"       {line}")
        columns = ("partition", "last_offset", "end", "lag", "caught_up_at")
        places: list[Row] = [tuple(at[n] for n in columns) for at in flow["partitions"]]
        if places:
            print_rows(columns, places, Format.TABLE)

    _print_agents(found["agents"])


def _print_agents(agents: Sequence[Mapping[str, Any]]) -> None:
    """Print what became of the records of the last 15 minutes, most refused first."""
    if not agents:
        return
    say("Agents, last 15 minutes:")
    columns = ("agent", "records", "accepted", "refused", "duplicates", "misrouted")
    rows: list[Row] = [tuple(at[name] for name in columns) for at in agents]
    print_rows(columns, rows[:AGENTS_SHOWN], Format.TABLE)
    more = len(rows) - AGENTS_SHOWN
    if more > 0:
        say(f"and {more:,} more: `semloop status --format json` lists all.")
    for agent in agents:
        for problem in agent["problems"]:
            say(f"{problem['status'].upper():<6} {problem['what']}")
            say(f"       {problem['todo']}")


def _restarts(flow: dict[str, Any]) -> str:
    if not flow["restarts"]:
        return ""
    return f", restarts: {flow['restarts']}, last exit code {flow['exit_code']}"


def _behind(flow: Mapping[str, Any]) -> str:
    if flow["lag"] is None:
        return ""
    least = "at least " if flow["at_least"] else ""
    if not flow["lag"] and not least:
        return ", caught up"
    oldest_s = flow["freshness_s"]
    age = f", the oldest {format_duration(oldest_s)} old" if oldest_s else ""
    records = "record" if flow["lag"] == 1 else "records"
    return f", {least}{flow['lag']:,} {records} behind{age}"
