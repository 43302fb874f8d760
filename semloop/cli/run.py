"""`semloop run`: a flow in this process, or a wait for the one that `up` runs."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from semloop.cli.progress import LOOK_S, waiting
from semloop.errors import ConfigError, Terminal
from semloop.local.state import RESTARTING, RUNNING, FlowState, running
from semloop.local.supervisor import FLOWS
from semloop.settings import Settings, load
from semloop.storage import Storage

if TYPE_CHECKING:
    from semloop.cli.positions import Position


def run(
    flow: Annotated[str, typer.Argument(help=f"One of: {', '.join(FLOWS)}.")],
    until_caught_up: Annotated[
        bool,
        typer.Option(
            "--until-caught-up",
            help="Stop once all that was there at the start is in the lake.",
        ),
    ] = False,
    new_log: Annotated[
        bool,
        typer.Option(
            "--new-log",
            help="Accept a topic that the lake holds from another cluster.",
        ),
    ] = False,
    accept_gap: Annotated[
        bool,
        typer.Option(
            "--accept-gap",
            help="Go on where retention removed records that were not read yet.",
        ),
    ] = False,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Run a flow in the foreground."""
    if flow not in FLOWS:
        msg = f"There is no flow {flow!r}."
        raise ConfigError(msg, f"The flows are: {', '.join(FLOWS)}.")
    settings = load()
    state = None if supervised else _state(settings, flow)
    if state is None:
        _run_here(
            settings,
            until_caught_up=until_caught_up,
            new_log=new_log,
            accept_gap=accept_gap,
        )
    elif until_caught_up and not (new_log or accept_gap):
        _wait_for(settings, flow)
    else:
        msg = f"`semloop up` of this lake runs {flow} already (pid {state.pid})."
        todo = f"Stop it: `semloop down`. Wait: `semloop run {flow} --until-caught-up`."
        raise ConfigError(msg, todo)


def _run_here(settings: Settings, **options: bool) -> None:
    from flows import archive, process
    from schemas.metrics import Metrics

    metrics = Metrics()
    dataflow = archive.build(settings, metrics, **options)
    process.run(dataflow, settings, metrics)


def _state(settings: Settings, flow: str) -> FlowState | None:
    """The flow as `up` runs it; None if it does not."""
    stack = running(settings)
    state = stack.flows.get(flow) if stack else None
    return state if state and state.state in (RUNNING, RESTARTING) else None


def _wait_for(settings: Settings, flow: str) -> None:
    """Wait until the running flow has committed what is in the topic now.

    Raises:
        Terminal: it was stopped before. TopicChanged: the topic was made again.
    """
    from semloop.cli.positions import log_of, missing, positions
    from sources.topic import TopicAdmin

    stack = running(settings)
    settings = stack.settings(settings) if stack else settings
    storage, admin = Storage.of(settings), TopicAdmin(settings)
    topic = admin.describe()

    def now() -> "dict[int, Position]":
        return positions(storage, log_of(topic), topic.partitions)

    with waiting(f"Waiting for {flow} ...") as tell:
        wanted = missing(settings, now(), None, None)
        ends = {b.partition: b.end or 0 for b in wanted.backlogs}
        while left := _left(now(), ends):
            tell(f"Waiting for {flow}: {left:,} offsets left ...")
            if _state(settings, flow) is None:
                msg = f"{flow} was stopped with {left:,} offsets left."
                raise Terminal(msg, "Start it again: `semloop up`.")
            time.sleep(LOOK_S)
            admin.still(topic)


def _left(found: "dict[int, Position]", ends: dict[int, int]) -> int:
    return sum(max(0, ends[p] - 1 - at.last_offset) for p, at in found.items())
