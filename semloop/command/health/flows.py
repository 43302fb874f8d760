"""Checks of the running flows: signs of life, and how far they are behind.

A sign of life is written after an item has passed all steps of a flow, so a flow that
hangs, or works on one record for minutes, has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from semloop.boot_clock import Moment
from semloop.command.health import Check, Status, failed, passed
from semloop.command.terminal.durations import format_duration
from semloop.flow_registry import (
    COMPACT,
    FLOWS,
    INDEX,
    LAKE_READERS,
    RETAIN,
    VACUUM,
    Flow,
)
from semloop.progress.activity import (
    SILENT_S,
    FlowActivity,
    files_of,
    last_end,
    read_file,
    read_flow,
    sign_of_life,
)
from semloop.settings import Settings
from semloop.storage.location import Storage

# Without a supervisor no process says that a flow was stopped on purpose.
FORGOTTEN_S = 86_400.0
# A flow that follows is behind by a second or two.
BEHIND_S, FAR_BEHIND_S = 60.0, 300.0
# Runs of a scheduled flow that may fail before somebody should look.
RUNS_MISSED = 3
# A run after a long pause may take that long.
RUN_S = 3_600.0


@dataclass(frozen=True)
class Supervised:
    """A flow as its supervisor knows it: for how long it has run, and its log."""

    age_s: float | None
    log: str


def flow_checks(
    storage: Storage,
    flow: str,
    supervised: Supervised | None,
    silent_s: float = SILENT_S,
    *,
    topic: str,
) -> Iterator[Check]:
    """Yield the checks of a streaming flow; none if it never ran.

    Args:
        storage: the lake.
        flow: its name.
        supervised: its process, if `semloop up` runs it.
        silent_s: for how long it may show no sign of life.
        topic: what it reads, or reads what another flow has read of it.

    Raises:
        LakeError: the lake cannot be read. StorageUnavailable: temporarily.
    """
    life = sign_of_life(read_flow(storage, files_of(flow, topic)), Moment.now())
    if life is None and supervised is None:
        return
    if life is not None and life.stopped:
        what, todo = life.stopped
        yield failed("flow.refuses", f"flow {flow} stopped: {what}", todo, flow=flow)
    alive = _alive(flow, life, supervised, silent_s)
    yield alive
    if alive.status is Status.OK and life is not None and flow in LAKE_READERS:
        yield from _behind(flow, life)


def index_check(
    storage: Storage, settings: Settings, supervisor_s: float | None
) -> Check | None:
    """Return whether `maintain index` runs as often as it should; None if it need not.

    Args:
        storage: the lake.
        settings: how often it should run.
        supervisor_s: for how long the supervisor that runs it has run, if there is one.
    """
    allowed_s = RUNS_MISSED * settings.memory.index_every_s
    todo = "Run `semloop maintain index` and read its error: until then recall slows."
    return _ended(storage, "flow.index", INDEX, allowed_s, supervisor_s, todo)


def maintenance_checks(
    storage: Storage, settings: Settings, supervisor_s: float | None
) -> Iterator[Check]:
    """Yield whether the other scheduled flows that have ever run still do.

    Args:
        storage: the lake.
        settings: how often they should run.
        supervisor_s: for how long the supervisor that runs them has run, if there is
            one: after a weekend nothing is overdue yet.
    """
    for flow in (COMPACT, RETAIN, VACUUM):
        every_s = settings.value(flow.every)
        if not every_s or (flow is RETAIN and not settings.maintenance.expires):
            continue
        if read_file(storage, flow.name, 0) is None:
            continue
        allowed_s = max(RUNS_MISSED * every_s, RUN_S)
        todo = f"Run `{_command(flow.name)}` and read its error; if it hangs, kill it."
        code = "flow.maintenance"
        check = _ended(storage, code, flow, allowed_s, supervisor_s, todo)
        if check is not None:
            yield check


def _ended(
    storage: Storage,
    code: str,
    flow: Flow,
    allowed_s: float,
    supervisor_s: float | None,
    todo: str,
) -> Check | None:
    """Return whether a scheduled flow has ended lately; None if it never ran."""
    now, command = Moment.now(), f"`{' '.join(flow.command)}`"
    run = read_file(storage, flow.name, 0)
    if run is None and supervisor_s is None:
        return None
    # Before the first end, the time counts from the start of the first run.
    since = (last_end(run) or run.at).age_ms(now) if run else None
    age_s = _shortest_s(since, supervisor_s)
    if age_s is None:
        return _dated_ahead(code, command, {"flow": flow.name})
    figures = {"flow": flow.name, "age_s": round(age_s, 1), "allowed_s": allowed_s}
    ago = f"{format_duration(age_s)} ago"
    if age_s <= allowed_s:
        return passed(code, f"{command} is not overdue: {ago}", **figures)
    what = f"{command} last ended {ago}, or its supervisor started then"
    beat_ms = run.at.age_ms(now) if run and not run.ended else None
    if beat_ms is not None:
        ago = f"{format_duration(beat_ms / 1_000)} ago"
        what += f"; a run that showed its last sign of life {ago} has not ended"
    return Check(code, Status.WARN, what, todo, figures)


def _alive(
    flow: str,
    life: FlowActivity | None,
    supervised: Supervised | None,
    silent_s: float,
) -> Check:
    code, figures = "flow.alive", {"flow": flow}
    if life is not None and life.ended and supervised is None:
        return passed(code, f"flow {flow} was stopped, or its input ended", **figures)
    # A process that has just started may not have finished an item yet.
    process_s = supervised.age_s if supervised else None
    age_s = _shortest_s(life.age_ms if life else None, process_s)
    if age_s is None:
        return _dated_ahead(code, f"flow {flow}", figures)
    ago = f"{format_duration(age_s)} ago"
    if age_s <= silent_s:
        what = f"flow {flow} showed a sign of life {ago}"
        return passed(code, what, **figures, age_s=round(age_s, 1))
    if age_s > FORGOTTEN_S and supervised is None:
        what = f"flow {flow} showed its last sign of life {ago}: it was stopped"
        todo = f"To run it: `{_command(flow)}`. To forget it: `semloop doctor --fix`."
        return Check(
            code, Status.NOTE, what, todo, {**figures, "age_s": round(age_s, 1)}
        )
    what = f"flow {flow} showed its last sign of life {ago}: it does not run, hangs, "
    what += "or has been working on one batch since"
    if supervised:
        todo = f"Read {supervised.log}; if it stays so: `semloop down`, `semloop up`."
    else:
        todo = f"Start it (`{_command(flow)}`, or `semloop up` for a local stack), or "
        todo += "read its log; if it stays so, restart it: nothing is lost."
    return failed(code, what, todo, **figures, age_s=round(age_s, 1))


def _command(flow: str) -> str:
    return " ".join(("semloop", *FLOWS[flow].command))


def _shortest_s(sign_ms: int | None, process_s: float | None) -> float | None:
    """Return for how long there was no sign of life; None if that is not known.

    Args:
        sign_ms: age of the last sign; None without one, or if it is in the future.
        process_s: for how long the process has run: a start is a sign, too.
    """
    sign_s = None if sign_ms is None else sign_ms / 1_000
    return min((s for s in (sign_s, process_s) if s is not None), default=None)


def _dated_ahead(code: str, name: str, figures: dict[str, str]) -> Check:
    what = (
        f"{name}: its last sign of life is dated in the future, so its age is unknown"
    )
    todo = "If the flow runs on another host, synchronize the clocks of both with NTP. "
    todo += "Else start it: its next sign of life is right."
    return Check(code, Status.WARN, what, todo, figures)


def _behind(flow: str, life: FlowActivity) -> Iterator[Check]:
    if life.behind_ms is None:
        return
    code, age_s = "flow.behind", life.behind_ms / 1_000
    figures = {"flow": flow, "age_s": round(age_s, 1)}
    if age_s <= BEHIND_S:
        yield passed(code, f"flow {flow} keeps up with `events`", **figures)
        return
    what = f"flow {flow} runs, but is behind `events` for {format_duration(age_s)}"
    todo = "After a large import, wait: `semloop status` shows whether the lag falls. "
    todo += f"If not, add processes (`semloop run {flow} --processes N`), or choose a "
    todo += "faster embedder."
    status = Status.FAIL if age_s > FAR_BEHIND_S else Status.WARN
    yield Check(code, status, what, todo, figures)
