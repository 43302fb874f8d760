"""Checks of the running flows: signs of life, and how far they are behind.

A sign of life is written after an item has passed all steps of a flow, so a flow that
hangs, or works on one record for minutes, has none.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from semloop.command.health import Check, Status, failed, passed
from semloop.command.terminal.durations import format_duration
from semloop.flow_registry import FLOWS, INDEX, LAKE_READERS
from semloop.progress.activity import (
    FlowActivity,
    files_of,
    read_flow,
    sign_of_life,
)
from semloop.settings import Settings
from semloop.storage.location import Storage

# A flow shows a sign of life every second, in an object store every ten.
SILENT_S = 30.0
# One batch may take a slow embedder minutes, and storage may be down for a while: a
# restart would only repeat that. Only what is silent for much longer hangs.
LIVE_SILENT_S = 600.0
# Without a supervisor no process says that a flow was stopped on purpose.
FORGOTTEN_S = 86_400.0
# Hosts' clocks may differ by less.
AHEAD_S = 60.0
# A flow that follows is behind by a second or two.
BEHIND_S, FAR_BEHIND_S = 60.0, 300.0
# Runs of `maintain index` that may fail before somebody should look.
INDEX_RUNS = 3


@dataclass(frozen=True)
class Supervised:
    """A flow as its supervisor knows it: when its process started, and its log."""

    started_s: float
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
    life = sign_of_life(read_flow(storage, files_of(flow, topic)))
    if life is None and supervised is None:
        return
    alive = _alive(flow, life, supervised, silent_s)
    yield alive
    if alive.status is Status.OK and life is not None and flow in LAKE_READERS:
        yield from _behind(flow, life)


def index_check(
    storage: Storage, settings: Settings, started_s: float | None
) -> Check | None:
    """Return whether `maintain index` runs as often as it should; None if it need not.

    Args:
        storage: the lake.
        settings: how often it should run.
        started_s: when the supervisor that runs it started, if there is one.
    """
    life = sign_of_life(read_flow(storage, INDEX.name))
    if life is None and started_s is None:
        return None
    if _is_unknown(life, started_s):
        return _dated_ahead("flow.index", "`maintain index`", {"flow": INDEX.name})
    last_s = max(_past(started_s), life.at_ms / 1_000 if life else 0.0)
    age_s = max(0.0, time.time() - last_s)
    allowed_s = INDEX_RUNS * settings.memory.index_every_s
    figures = {"flow": INDEX.name, "age_s": round(age_s, 1), "allowed_s": allowed_s}
    code, ago = "flow.index", f"{format_duration(age_s)} ago"
    if age_s <= allowed_s:
        return passed(code, f"`maintain index` is not overdue: {ago}", **figures)
    what = f"`maintain index` last ended {ago}, or its supervisor started then"
    todo = "Run `semloop maintain index` and read its error: until then recall slows."
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
    started_s = supervised.started_s if supervised else None
    if _is_unknown(life, started_s):
        return _dated_ahead(code, f"flow {flow}", figures)
    last_s = max(_past(started_s), life.at_ms / 1_000 if life else 0.0)
    age_s = max(0.0, time.time() - last_s)
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


def _is_ahead(at_ms: float) -> bool:
    return at_ms / 1_000 > time.time() + AHEAD_S


def _is_unknown(life: FlowActivity | None, started_s: float | None) -> bool:
    """Return True if the last sign of life has a time that is still to come."""
    return _is_ahead(life.at_ms if life else 1_000 * (started_s or 0.0))


def _past(started_s: float | None) -> float:
    """Return when a process started; 0 if the clock was set back since.

    A start in the future would excuse a flow that hangs until then.
    """
    return started_s if started_s and not _is_ahead(started_s * 1_000) else 0.0


def _dated_ahead(code: str, name: str, figures: dict[str, str]) -> Check:
    what = (
        f"{name}: its last sign of life is dated in the future, so its age is unknown"
    )
    todo = "Synchronize the clocks of this host and that of the flow with NTP. It "
    todo += "passes once the flow shows a sign of life with the right time."
    return Check(code, Status.WARN, what, todo, figures)


def _behind(flow: str, life: FlowActivity) -> Iterator[Check]:
    if life.caught_up_ms is None or _is_ahead(life.caught_up_ms):
        return
    code = "flow.behind"
    age_s = max(0.0, time.time() - life.caught_up_ms / 1_000)
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
