"""Kill flow, broker and object store at random moments, then compare sets of offsets.

`just storm --minutes 15 --seed 7` with `SEMLOOP_TEST_SERVICES` set kills all three.
Without it broker and store are in memory and lose their data when killed, so only the
flow is killed. Prints a verdict of one line; on failure the trace and the servers'
files are kept.
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
from tests.storm.flow import TAKEN_OVER, RestartedFlow
from tests.storm.trace import Trace
from tests.storm.verdict import Storm, memory
from tests.support import processes
from tests.support.kill_and_audit import Audit, Load, origins
from tests.support.services import SERVICES, EmbeddedBroker, RealBroker, start_broker
from tests.support.stores import (
    BUCKET,
    Moto,
    RealStore,
    make_bucket,
    start_store,
    variables,
)

EVENTS_PER_S = 1_300
# Mean of an exponential distribution: kills come in bursts and during recoveries.
PAUSE_S = 6.0
WEIGHTS = {"flow": 6, "store": 3, "broker": 2}
DOWN_S_MAX = 2.0
POLL_S = 0.25
RECOVERY_S_MAX = 60.0

Kind = Literal["flow", "broker", "store"]


@dataclass
class Kill:
    """One kill, and when the killed server answered again; wall-clock times."""

    kind: Kind
    at_s: float
    restarted_s: float | None = None

    def recovered_s(self, flow: RestartedFlow) -> float | None:
        """Seconds to the first commit after the killed process was up again."""
        restarted_s = self.restarted_s or flow.first_start_after(self.at_s)
        commit = flow.first_commit_after(restarted_s) if restarted_s else None
        return commit - self.at_s if commit else None


class Targets:
    """The servers and the flow, and how to kill each of them."""

    def __init__(self, folder: Path, number_of_processes: int, trace: Trace) -> None:
        self._trace = trace
        self.broker: EmbeddedBroker | RealBroker = start_broker(
            _new_folder(folder / "b")
        )
        self.store: Moto | RealStore = start_store(_new_folder(folder / "s"))
        os.environ.update(variables(self.store.endpoint))
        make_bucket()
        self.settings: Settings = load(
            {},
            lake=f"s3://{BUCKET}/storm",
            kafka=self.broker.address,
            redaction_key="a key for the storm only",
        )
        TopicAdmin(self.settings).ensure()
        self.flow = RestartedFlow(self.settings, number_of_processes, trace)

    def kill(self, kind: Kind, rng: random.Random) -> "Kill":
        """Kill one of them; restart a server after at most `DOWN_S_MAX`."""
        if kind == "flow":
            return Kill(kind, self.flow.kill(rng.choice))
        server = cast(
            "RealBroker | RealStore", self.broker if kind == "broker" else self.store
        )
        self._trace.add("kill", target=kind, pid=server.pid)
        moment = time.time()
        server.kill()
        time.sleep(rng.uniform(0, DOWN_S_MAX))
        server.start()
        self._trace.add("restart", target=kind, pid=server.pid)
        return Kill(kind, moment, restarted_s=time.time())

    def end(self) -> None:
        """Stop all processes, by pid."""
        self.flow.stop()
        self.broker.kill()
        self.store.kill()


def storm(
    minutes: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Minutes during which events are produced and processes killed.",
        ),
    ] = 15,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed for the targets and times of kills; default: random."),
    ] = None,
    processes_: Annotated[
        int, typer.Option("--processes", help="Processes of the flow.")
    ] = 1,
    spare: Annotated[
        list[str] | None,
        typer.Option(help="Never kill this one: flow, broker or store; repeatable."),
    ] = None,
) -> None:
    """Kill flow, broker and store while events are produced; then audit the lake.

    Exits with 1 if a record is lost, duplicated or unknown, if a kill was not recovered
    from, or if the flow lost its fence.
    """
    if unknown := set(spare or ()) - WEIGHTS.keys():
        msg = f"--spare accepts {', '.join(WEIGHTS)}, not {', '.join(sorted(unknown))}."
        raise typer.BadParameter(msg)
    seed = random.randrange(10**6) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix=f"storm-{seed}-"))
    trace = Trace(folder / "trace.jsonl")
    kinds = {k: w for k, w in WEIGHTS.items() if k not in (spare or ())}
    if not SERVICES:
        kinds = {"flow": WEIGHTS["flow"]}
    print(f"seed {seed}, trace {trace.path}", flush=True)
    targets = Targets(folder, processes_, trace)
    servers = f"{targets.broker.kind} + {targets.store.kind}"
    result = Storm(seed, minutes, processes_, servers)
    kills: list[Kill] = []
    try:
        audit = _run(targets, result, kinds, random.Random(seed), kills)
        _note_recoveries(result, targets.flow, kills)
    finally:
        targets.end()
        trace.close()
    print(result.verdict(audit))
    exits = (
        ", ".join(f"{c}: {n}" for c, n in sorted(targets.flow.exits.items())) or "none"
    )
    print(f"{memory(targets.flow.lives)}; flow exits by code: {exits}")
    wrong = not audit.clean or result.never_recovered or targets.flow.exits[TAKEN_OVER]
    if wrong:
        print(f"trace and server files: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


def _run(
    targets: Targets,
    result: Storm,
    kinds: dict[str, int],
    rng: random.Random,
    kills: list[Kill],
) -> Audit:
    """Produce events and kill processes; then let the flow catch up and audit."""
    seconds = result.minutes * 60
    producer = Load(targets.settings, int(seconds * EVENTS_PER_S), seconds)
    targets.flow.start()
    producer.start()
    end_s = time.monotonic() + seconds
    next_s = time.monotonic() + PAUSE_S
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    ) as bar:
        task = bar.add_task("storm", total=seconds)
        while (now := time.monotonic()) < end_s:
            targets.flow.poll()
            if kinds and now >= next_s:
                kind = rng.choices(list(kinds), list(kinds.values()))[0]
                kills.append(targets.kill(cast("Kind", kind), rng))
                result.kills[kind] += 1
                next_s = time.monotonic() + rng.expovariate(1 / PAUSE_S)
            bar.update(
                task,
                completed=seconds - (end_s - now),
                description=f"{sum(result.kills.values())} kills, "
                f"{len(producer.origins):,} events, {len(targets.flow.commits):,} commits",
            )
            time.sleep(POLL_S)
        bar.update(task, completed=seconds)
    _wait_for_recovery(targets, producer, kills)
    return _audit(targets, producer, result)


def _wait_for_recovery(targets: Targets, producer: Load, kills: list[Kill]) -> None:
    """Wait for the recovery from the last kill, then stop the flow."""
    deadline = time.monotonic() + RECOVERY_S_MAX
    while (
        any(kill.recovered_s(targets.flow) is None for kill in kills)
        and time.monotonic() < deadline
    ):
        targets.flow.poll()
        time.sleep(POLL_S)
    producer.join()
    targets.flow.stop()
    processes.check(targets.settings, "run", "archive", "--until-caught-up")


def _audit(targets: Targets, producer: Load, result: Storm) -> Audit:
    found = origins(targets.settings, ("events", "dead_letters"))
    return Audit(
        produced=len(producer.origins),
        lost=len(producer.origins - found.keys()),
        duplicated=sum(found.values()) - len(found),
        unknown=len(found.keys() - producer.origins),
        kills=sum(result.kills.values()),
    )


def _note_recoveries(result: Storm, flow: RestartedFlow, kills: list[Kill]) -> None:
    for kill in kills:
        seconds = kill.recovered_s(flow)
        if seconds is None:
            result.never_recovered += 1
        else:
            result.recovered_s.setdefault(kill.kind, []).append(seconds)


def _new_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    typer.run(storm)
