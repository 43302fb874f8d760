"""Faults of a laptop at random against a local stack; then all ids are compared.

`python -m tests.storm.chaos --rounds 100 --seed 7`, as root for a disk that can be
filled. Where something else may use the port of a local stack, run it in a network of
its own: `unshare -n sh -c 'ip link set lo up; exec python -m tests.storm.chaos'`.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from semloop.lake.lake import Lake
from semloop.progress.activity import WINDOW_S
from tests.storm import faults
from tests.storm.faults import DAY_S, PROCESSES, Scene
from tests.storm.local_stack import COMMAND_S, LocalStack, wait_until
from tests.storm.points import points
from tests.storm.wall_clock import WallClock

# With less than 1 GiB free, `health` warns always.
DISK_MIB = 4_096
SHORT_S, LONG_S = (0.5, 8.0), (36.0, 45.0)
LONG_SHARE = 0.12
# From here on a fault must be seen: a sign of life may be up to this old.
SEEN_S = 34.0
HEALTHY_S = 150.0
# True after a clock was set, as long as `health` counts them: records in flight had a
# time that was refused.
AFTER_CLOCK = {"agent.refused", "agent.clock"}
AFTER_CLOCK_S = WINDOW_S + HEALTHY_S
FUTURE = "timestamp_out_of_range"

Fault = Callable[[Scene], AbstractContextManager[None]]


@dataclass
class Result:
    """What went wrong, and how many faults of each kind there were."""

    rounds: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def kinds(scene: Scene) -> dict[str, tuple[float, Fault]]:
    """Return name -> weight and fault, for what this machine allows."""
    found: dict[str, tuple[float, Fault]] = {
        f"kill {name}": (2, lambda s, n=name: faults.killed(s, n))  # type: ignore[misc]
        for name in PROCESSES
    }
    found["kill several"] = (
        3,
        lambda s: faults.killed(s, *s.rng.sample(PROCESSES, s.rng.randint(2, 5))),
    )
    found["crash loop"] = (
        1,
        lambda s: faults.crash_loop(s, s.rng.choice(["archive", "memory"])),
    )
    found["hang"] = (
        2,
        lambda s: faults.hung(s, s.rng.choice(["broker", "archive", "memory"])),
    )
    found["suspend"] = (2, faults.suspended)
    found["port"] = (2, faults.port_taken)
    if scene.disk is not None:
        found["disk"] = (3, faults.disk_full)
    if scene.clock is not None:
        found["clock"] = (
            2,
            lambda s: faults.clock_changed(s, s.rng.choice([DAY_S, -DAY_S])),
        )
    return found


def one_round(
    scene: Scene, name: str, fault: Fault, lasts_s: float, result: Result
) -> None:
    """Let a fault strike, and see that the stack recovers, or says what to do."""
    started_s = time.monotonic()
    offset_s = scene.offset_s
    with fault(scene):
        lasting = name in ("disk", "port", "hang") or not scene.stack.pids("supervisor")
        if lasting and lasts_s > SEEN_S:
            time.sleep(max(0.0, started_s + SEEN_S - time.monotonic()))
            if scene.stack.health()[0] == 0:
                result.problems.append(f"{name}: green after {SEEN_S:g} s")
        time.sleep(max(0.0, started_s + lasts_s - time.monotonic()))
    result.rounds[name] += 1
    if scene.offset_s != offset_s:
        scene.clock_set_s = time.monotonic()
    found = [f"{name}: {problem}" for problem in recovery(scene)]
    result.problems += found
    seconds = time.monotonic() - started_s
    print(
        f"  {lasts_s:.0f} s, recovered in {seconds - lasts_s:.0f} s", *found, flush=True
    )


def recovery(scene: Scene) -> Iterator[str]:
    """Do what the stack says, wait until it works again, and yield what does not."""
    stack = scene.stack
    if not stack.pids("supervisor"):
        code, output = stack.run("health")
        if code != 1 or "`semloop up`" not in output:
            yield f"health does not say what to do: {code} {output}"
        code, output = stack.run("up")
        if code:
            yield f"up fails: {output}"
    newest = stack.ids()[-1]
    if not wait_until(HEALTHY_S, lambda: stack.has(newest)):
        yield f"{newest} is not stored after {HEALTHY_S:g} s"
    bad: list[list[str]] = []

    def is_healthy() -> bool:
        code, codes = stack.health()
        bad.append(codes)
        was_set = time.monotonic() - scene.clock_set_s < AFTER_CLOCK_S
        return code == 0 or (was_set and set(codes) <= AFTER_CLOCK)

    if not wait_until(HEALTHY_S, is_healthy):
        yield f"not healthy after {HEALTHY_S:g} s: {bad[-1]}"


def audit(stack: LocalStack) -> Iterator[str]:
    """Compare the emitted ids with the lake; yield what is wrong."""
    emitted = stack.ids()
    with Lake(stack.lake) as lake:
        stored = Counter(
            id_ for (id_,) in lake.sql("SELECT event_id FROM events").fetchall()
        )
        dead = lake.sql("SELECT reason, raw FROM dead_letters").fetchall()
        remembered = Counter(
            lake.sql(
                "SELECT event_ids[1], part FROM memories WHERE kind = 'event'"
            ).fetchall()
        )
    # A clock that is set back makes events of the second before events of the future.
    future = {event_id(raw) for reason, raw in dead if reason == FUTURE}
    refused = Counter(reason for reason, _ in dead if reason != FUTURE)
    late = len(future)
    lost = len(set(emitted) - stored.keys() - future)
    duplicated = sum(n > 1 for n in stored.values())
    print(
        f"{len(emitted):,} events: {lost} lost, {duplicated} duplicated, {late} from the future"
    )
    if lost or duplicated or refused:
        yield f"{lost} lost, {duplicated} duplicated, refused: {dict(refused)}"
    unknown = len(stored.keys() - set(emitted))
    if unknown > 1:  # the agent may have ended before it wrote down the last one
        yield f"{unknown} unknown"
    forgotten = len(stored.keys() - {id_ for id_, _ in remembered})
    twice = sum(n > 1 for n in remembered.values())
    print(f"{len(remembered):,} memories: {forgotten} missing, {twice} duplicated")
    if forgotten or twice:
        yield f"memories: {forgotten} missing, {twice} duplicated"


def event_id(raw: bytes) -> str:
    """Return the id of the event in a dead letter."""
    return str(json.loads(raw)["id"])


def finish(stack: LocalStack) -> Iterator[str]:
    """End agent and stack; yield what is lost, duplicated or left over."""
    counts = stack.stop_agent()
    print(f"agent: {counts}")
    if not counts["sent"] or counts["refused"] or counts["dropped"]:
        yield f"agent: {counts}"
    newest = stack.ids()[-1]
    wait_until(COMMAND_S, lambda: stack.has(newest))
    code, output = stack.run("down", "--timeout", "120")
    if code:
        yield f"down fails: {output}"
    if left := stack.processes():
        yield f"left over: {[process.name for process in left]}"
    yield from audit(stack)


@contextmanager
def scene_in(folder: Path, seed: int, disk_mib: int = DISK_MIB) -> Iterator[Scene]:
    """Start a stack and an agent in a folder; on a disk of its own where that works."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={disk_mib}m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    clock = WallClock.in_folder(folder)
    project = disk / "project"
    project.mkdir()
    stack = LocalStack(project, folder, clock.environ if clock else {})
    rng = random.Random(seed)
    try:
        stack.start()
        yield Scene(stack, rng, disk if mounted else None, clock)
    finally:
        stack.end()
        if mounted:
            subprocess.run(["umount", "-l", str(disk)])


def chaos(
    rounds: Annotated[int, typer.Option(min=1, help="Number of faults.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Seed; default: random.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these kinds; repeatable.")
    ] = None,
    kills: Annotated[
        int | None, typer.Option(min=1, help="Kill at named fail-points instead.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="With --kills: of a run to continue.")
    ] = None,
) -> None:
    """Let faults strike a local stack at random, and compare all ids.

    Exits with 1 if an event or a memory is lost or duplicated, if a process is left over,
    if the stack does not recover, or if `health` passes during a fault.
    """
    if kills is not None:
        points(kills, seed, folder)
    seed = random.randrange(10**6) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
    print(f"seed {seed}, {folder}", flush=True)
    result = Result()
    with scene_in(folder, seed) as scene:
        found = {k: v for k, v in kinds(scene).items() if not only or k in only}
        try:
            for number in range(rounds):
                weights = [weight for weight, _ in found.values()]
                name = scene.rng.choices(list(found), weights)[0]
                print(f"{time.strftime('%H:%M:%S')} {number + 1}: {name}", flush=True)
                is_long = scene.rng.random() < LONG_SHARE
                lasts_s = scene.rng.uniform(*(LONG_S if is_long else SHORT_S))
                one_round(scene, name, found[name][1], lasts_s, result)
        finally:
            result.problems += finish(scene.stack)
            _keep_logs(scene.stack, folder)
    word = "NOT CLEAN" if result.problems else "clean"
    print(f"{word}: seed {seed}, {result.rounds.total()} rounds, {dict(result.rounds)}")
    print("\n".join(result.problems))
    sys.exit(1 if result.problems else 0)


def _keep_logs(stack: LocalStack, folder: Path) -> None:
    """Copy the logs from the disk of the project, which goes with it."""
    for log in (stack.lake / "_local").glob("*.log*"):
        (folder / log.name).write_bytes(log.read_bytes())


if __name__ == "__main__":
    typer.run(chaos)
