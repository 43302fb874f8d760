"""`semloop run`: run a flow in one or several processes, or wait for a running one."""

import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated

import typer

from semloop.command.cli.wait_for_flow import running_state, wait_for_flow
from semloop.command.stack.supervisor import semloop_command
from semloop.errors import ConfigError, SemLoopError
from semloop.flow_registry import FLOWS, STREAMING
from semloop.progress.activity import files_of, note_stop
from semloop.settings import PREFIX, Settings, load
from semloop.storage.location import Storage


def run(
    flow: Annotated[
        str, typer.Argument(metavar="FLOW", help=f"One of: {', '.join(STREAMING)}.")
    ],
    until_caught_up: Annotated[
        bool,
        typer.Option(
            "--until-caught-up",
            help="Stop when all events available at the start are processed.",
        ),
    ] = False,
    new_log: Annotated[
        bool,
        typer.Option(
            "--new-log",
            help="Also accept a topic that the lake has from another cluster.",
        ),
    ] = False,
    accept_gap: Annotated[
        bool,
        typer.Option(
            "--accept-gap",
            help="Continue after retention removed records that were not read.",
        ),
    ] = False,
    accept_dead_letters: Annotated[
        bool,
        typer.Option(
            "--accept-dead-letters",
            help="Continue if too many records become dead letters.",
        ),
    ] = False,
    processes: Annotated[
        int,
        typer.Option(min=1, help="Number of processes that share the partitions."),
    ] = 1,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    member: Annotated[int, typer.Option(min=0, hidden=True)] = 0,
    addresses: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Run a flow in the foreground."""
    flags = {
        "new_log": new_log,
        "accept_gap": accept_gap,
        "accept_dead_letters": accept_dead_letters,
    }
    _check_flags(flow, flags)
    settings = load()
    state = None if supervised or addresses else running_state(settings, flow)
    options = {"until_caught_up": until_caught_up}
    options |= {flag: flags[flag] for flag in STREAMING[flow].flags}
    if state is None and processes > 1:
        raise typer.Exit(_run_cluster(settings, flow, processes, options))
    if state is None:
        _run_here(settings, flow, addresses, member, options)
    elif until_caught_up and not any(flags.values()):
        wait_for_flow(settings, flow)
    else:
        msg = f"`semloop up` already runs {flow} for this lake (pid {state.pid})."
        todo = f"Stop it: `semloop down`. Wait: `semloop run {flow} --until-caught-up`."
        raise ConfigError(msg, todo)


def _check_flags(flow: str, flags: Mapping[str, bool]) -> None:
    if flow in FLOWS and flow not in STREAMING:
        msg = f"The flow {flow} is a maintenance command, not run with `semloop run`."
        raise ConfigError(msg, f"Run `semloop {' '.join(FLOWS[flow].command)}`.")
    if flow not in STREAMING:
        msg = f"There is no flow {flow!r}."
        raise ConfigError(msg, f"The flows are: {', '.join(STREAMING)}.")
    for name, given in flags.items():
        if given and name not in STREAMING[flow].flags:
            others = [other.name for other in STREAMING.values() if name in other.flags]
            flag = f"--{name.replace('_', '-')}"
            msg = f"{flag} applies to the topic, which only {', '.join(others)} reads."
            raise ConfigError(msg, f"Run {flow} without it.")


def _run_here(
    settings: Settings,
    flow: str,
    addresses: str,
    member: int,
    options: Mapping[str, bool],
) -> None:
    if addresses:
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    # Imports leave no garbage, and collecting takes a tenth of their time. `guard.run`
    # enables collection again with the flow's thresholds.
    gc.disable()
    from flows import guard
    from schemas.metrics import Metrics

    metrics = Metrics()
    module = importlib.import_module(STREAMING[flow].module)
    dataflow = module.build(settings, metrics, **options)
    guard.run(
        dataflow, settings, metrics, addresses.split(",") if addresses else (), member
    )


def _exit_with_parent() -> None:
    """Exit when standard input closes, that is when the parent has ended."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _run_cluster(
    settings: Settings, flow: str, processes: int, options: Mapping[str, bool]
) -> int:
    from flows.logging_setup import configure
    from semloop.command.stack.cluster import Cluster, free_addresses
    from semloop.command.stack.member import Command

    def commands(first: bool) -> list[Command]:
        # The flow's flags accept something once, so restarts omit them.
        omitted = () if first else STREAMING[flow].flags
        flags = [
            f"--{name.replace('_', '-')}"
            for name, given in options.items()
            if given and name not in omitted
        ]
        addresses = ",".join(free_addresses(processes))
        return [
            Command(
                semloop_command(
                    "run", flow, f"--member={i}", f"--addresses={addresses}", *flags
                ),
                _environ(settings, i),
            )
            for i in range(processes)
        ]

    configure(settings, sys.stderr)
    try:
        return Cluster(commands, live=settings.debug).run()
    except SystemExit as ended:
        # All processes have ended. SIGTERM is a restart, as for a single process.
        if ended.code == 128 + signal.SIGINT:
            with suppress(SemLoopError, OSError):
                note_stop(Storage.of(settings), files_of(flow, settings.topic))
        raise


def _environ(settings: Settings, member: int) -> dict[str, str]:
    """Return this process's environment with a metrics port for the member."""
    if not settings.metrics.port:
        return dict(os.environ)
    port = str(settings.metrics.port + member)
    return {**os.environ, f"{PREFIX}METRICS_PORT": port}
