"""Whether the program accepts the commands and settings that a manifest names."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import typer
from bytewax import run as bytewax_runner

from semloop.command.cli import app
from semloop.flow_registry import FLOWS
from semloop.settings import PREFIX, Settings, load
from semloop.settings.model import setting_fields

# Variables of others that a manifest may set: `AWS_*` of the S3 clients, and these.
FOREIGN = {"HOME", "TMPDIR"}
BYTEWAX = {
    "BYTEWAX_PROCESS_ID", "BYTEWAX_ADDRESSES", "BYTEWAX_POD_NAME",
    "BYTEWAX_STATEFULSET_NAME", "BYTEWAX_HOSTFILE_PATH", "BYTEWAX_WORKERS_PER_PROCESS",
}  # fmt: skip


def accept(environ: Mapping[str, str]) -> Settings:
    """Return the settings that an environment makes; fails for an unknown variable."""
    known = {PREFIX + name.upper() for name in setting_fields()} | FOREIGN | BYTEWAX
    unknown = [n for n in environ if n not in known and not n.startswith("AWS_")]
    assert unknown == []
    return load(environ)


def parse(command: Sequence[str]) -> str:
    """Parse a command line as the program would; return the flow that it runs."""
    if list(command[:3]) == ["python", "-m", "bytewax.run"]:
        (place,) = command[3:]
        names = [f.name for f in FLOWS.values() if place == f"{f.module}:flow"]
        assert names, f"{place} is no flow"
        return names[0]
    assert command[0] == "semloop", command
    group: Any = typer.main.get_command(app)
    rest, path = list(command[1:]), []
    context = group.make_context("semloop", rest, ignore_unknown_options=False)
    while hasattr(group, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, group, rest = group.resolve_command(context, rest)
        path.append(name)
        context = group.make_context(name, rest)
    return str(context.params["flow"] if path == ["run"] else path[-1])


def member_of(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, list[str]]:
    """Return number and addresses that Bytewax's runner reads from an environment."""
    for name in BYTEWAX:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["bytewax.run", "flows.archive:flow"])
    parsed = bytewax_runner._parse_args()  # type: ignore[no-untyped-call]
    return parsed.process_id, parsed.addresses.split(";")
