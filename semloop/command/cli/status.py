"""`semloop status` and `semloop health`: state of broker, lake and flows."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from semloop.command.cli import health_report, status_report
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.output import Format, Row, print_rows
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import spinner
from semloop.settings import load


class StatusFormat(StrEnum):
    """Output format of a report."""

    TABLE = "table"
    JSON = "json"


Form = Annotated[StatusFormat, typer.Option("--format", help="Output format.")]


def status(form: Form = StatusFormat.TABLE) -> None:
    """Show broker, tables and the progress of each flow."""
    with spinner("Checking ..."):
        found = status_report.status(load())
    if form is StatusFormat.JSON:
        say(json.dumps(found, indent=2))
    else:
        _print_status(found)


def health(form: Form = StatusFormat.TABLE) -> None:
    """Check broker, lake and flows; exit with 0 if all checks pass."""
    with spinner("Checking ..."):
        found = health_report.health(load())
    if form is StatusFormat.JSON:
        say(json.dumps(found, indent=2))
    else:
        for part in ("kafka", "lake", "flows"):
            for check in found[part]["checks"]:
                say(f"{_mark(check)}  {check['check']}")
                if check["todo"]:
                    say(f"      {check['todo']}")
    if not found["ok"]:
        raise typer.Exit(1)


def _mark(check: Mapping[str, Any]) -> str:
    if not check["ok"]:
        return "FAIL"
    return "note" if check["todo"] else "ok  "


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
        for line in status_report.key_lines(flow["misrouted"], flow["repeated"]):
            say(f"       {line}")
        columns = ("partition", "last_offset", "end", "lag", "caught_up_at")
        places: list[Row] = [tuple(at[n] for n in columns) for at in flow["partitions"]]
        if places:
            print_rows(columns, places, Format.TABLE)


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
