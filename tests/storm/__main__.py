"""Kill flow, broker and object store at random moments, then compare sets.

`just storm --minutes 15 --seed 7` with `SEMLOOP_TEST_SERVICES` set kills all three;
without it broker and store are in memory and die with their process, so only the flow
is killed. One line of verdict; on failure the seed, the trace and the servers' files
are kept.
"""

import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings, load
from tests import processes
from tests.kill_and_audit import Audit, Load, origins
from tests.services import SERVICES, EmbeddedBroker, RealBroker, start_broker
from tests.stores import BUCKET, Moto, RealStore, make_bucket, start_store, variables
from tests.storm.flow import TAKEN_OVER, FlowUnderFire
from tests.storm.trace import Trace
from tests.storm.verdict import Storm, memory

EVENTS_PER_S = 1_300
# Mean of an exponential distribution: kills come in bursts, and into recoveries.
PAUSE_S = 6.0
WEIGHTS = {"flow": 6, "store": 3, "broker": 2}
DOWN_S_MAX = 2.0
LOOK_S = 0.25
RECOVERY_S_MAX = 60.0

Kind = Literal["flow", "broker", "store"]


@dataclass
class Kill:
    """One kill, and when a server that was killed answered again; wall clock."""

    kind: Kind
    at_s: float
    back_s: float | None = None

    def recovered_s(self, flow: FlowUnderFire) -> float | None:
        """Seconds to the first commit that needed whoever was killed."""
        back = self.back_s or flow.first_start_after(self.at_s)
        commit = flow.first_commit_after(back) if back else None
        return commit - self.at_s if commit else None


class Fire:
    """The servers and the flow, and how each is killed."""

    def __init__(self, folder: Path, number_of_processes: int, trace: Trace) -> None:
        self._trace = trace
        self.broker: EmbeddedBroker | RealBroker = start_broker(_made(folder / "b"))
        self.store: Moto | RealStore = start_store(_made(folder / "s"))
        os.environ.update(variables(self.store.endpoint))
        make_bucket()
        self.settings: Settings = load(
            {},
            lake=f"s3://{BUCKET}/storm",
            kafka=self.broker.address,
            redaction_key="a key for the storm only",
        )
        TopicAdmin(self.settings).ensure()
        self.flow = FlowUnderFire(self.settings, number_of_processes, trace)

    def kill(self, kind: Kind, rng: random.Random) -> "Kill":
        """Kill one of them; servers come back after a moment."""
        if kind == "flow":
            return Kill(kind, self.flow.kill(rng.choice))
        server = cast(
            "RealBroker | RealStore", self.broker if kind == "broker" else self.store
        )
        self._trace.add("kill", whom=kind, pid=server.pid)
        moment = time.time()
        server.kill()
        time.sleep(rng.uniform(0, DOWN_S_MAX))
        server.start()
        self._trace.add("back", whom=kind, pid=server.pid)
        return Kill(kind, moment, back_s=time.time())

    def end(self) -> None:
        """Stop everything, by pid."""
        self.flow.stop()
        self.broker.kill()
        self.store.kill()


def storm(
    minutes: Annotated[
        float, typer.Option(min=0.1, help="How long events are produced.")
    ] = 15,
    seed: Annotated[int | None, typer.Option(help="Of kinds and moments.")] = None,
    processes_: Annotated[int, typer.Option("--processes", help="Of the flow.")] = 1,
    spare: Annotated[
        list[str] | None, typer.Option(help="Kinds not killed: flow, broker, store.")
    ] = None,
) -> None:
    """Kill what can be killed while events are produced; then nothing may be wrong."""
    if unknown := set(spare or ()) - WEIGHTS.keys():
        msg = f"--spare takes {', '.join(WEIGHTS)}, not {', '.join(sorted(unknown))}."
        raise typer.BadParameter(msg)
    seed = random.randrange(10**6) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix=f"storm-{seed}-"))
    trace = Trace(folder / "trace.jsonl")
    kinds = {k: w for k, w in WEIGHTS.items() if k not in (spare or ())}
    if not SERVICES:
        kinds = {"flow": WEIGHTS["flow"]}
    print(f"seed {seed}, trace {trace.path}", flush=True)
    fire = Fire(folder, processes_, trace)
    servers = f"{fire.broker.kind} + {fire.store.kind}"
    result = Storm(seed, minutes, processes_, servers)
    kills: list[Kill] = []
    try:
        audit = _rage(fire, result, kinds, random.Random(seed), kills)
        _note_recoveries(result, fire.flow, kills)
    finally:
        fire.end()
        trace.close()
    print(result.verdict(audit))
    exits = ", ".join(f"{c}: {n}" for c, n in sorted(fire.flow.exits.items())) or "none"
    print(f"{memory(fire.flow.lives)}; exits of the flow by code: {exits}")
    wrong = not audit.clean or result.never_recovered or fire.flow.exits[TAKEN_OVER]
    if wrong:
        print(f"kept: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


def _rage(
    fire: Fire,
    result: Storm,
    kinds: dict[str, int],
    rng: random.Random,
    kills: list[Kill],
) -> Audit:
    """Produce and kill, then let the flow come to the end and compare."""
    seconds = result.minutes * 60
    load_ = Load(fire.settings, int(seconds * EVENTS_PER_S), seconds)
    fire.flow.start()
    load_.start()
    end_s = time.monotonic() + seconds
    next_s = time.monotonic() + PAUSE_S
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    ) as bar:
        task = bar.add_task("storm", total=seconds)
        while (now := time.monotonic()) < end_s:
            fire.flow.look()
            if kinds and now >= next_s:
                kind = rng.choices(list(kinds), list(kinds.values()))[0]
                kills.append(fire.kill(cast("Kind", kind), rng))
                result.kills[kind] += 1
                next_s = time.monotonic() + rng.expovariate(1 / PAUSE_S)
            bar.update(
                task,
                completed=seconds - (end_s - now),
                description=f"{sum(result.kills.values())} kills, "
                f"{len(load_.origins):,} events, {len(fire.flow.commits):,} commits",
            )
            time.sleep(LOOK_S)
        bar.update(task, completed=seconds)
    _settle(fire, load_, kills)
    return _audit(fire, load_, result)


def _settle(fire: Fire, load_: Load, kills: list[Kill]) -> None:
    """Give the last kill the time to be recovered from, then end the flow."""
    deadline = time.monotonic() + RECOVERY_S_MAX
    while (
        any(kill.recovered_s(fire.flow) is None for kill in kills)
        and time.monotonic() < deadline
    ):
        fire.flow.look()
        time.sleep(LOOK_S)
    load_.join()
    fire.flow.stop()
    processes.check(fire.settings, "run", "archive", "--until-caught-up")


def _audit(fire: Fire, load_: Load, result: Storm) -> Audit:
    found = origins(fire.settings, ("events", "dead_letters"))
    return Audit(
        produced=len(load_.origins),
        lost=len(load_.origins - found.keys()),
        doubled=sum(found.values()) - len(found),
        unknown=len(found.keys() - load_.origins),
        kills=sum(result.kills.values()),
    )


def _note_recoveries(result: Storm, flow: FlowUnderFire, kills: list[Kill]) -> None:
    for kill in kills:
        seconds = kill.recovered_s(flow)
        if seconds is None:
            result.never_recovered += 1
        else:
            result.recovered_s.setdefault(kill.kind, []).append(seconds)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    typer.run(storm)
