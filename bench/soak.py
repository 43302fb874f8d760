"""CPU and memory of the local stack over hours; `just soak --hours 8`.

Starts the stack of `semloop up` in a new folder, on a port of its own, and emits events
at a steady rate, each a batch of its own. `--as-if-hours 8` shortens the interval of
commits until as many are made as in eight hours; `--held-batches` lets the broker hold
this many batches from the beginning. Every half minute the output shows the CPU
(percent of a core, from `/proc/PID/stat`) and the memory of each process; at the end,
the means of the first and the last quarter. Exits with 1 if an event is lost or
duplicated, or if broker and supervisor use more in the last quarter than in the first,
by the bounds below.

Needs Linux. The stack is stopped at the end; its folder is kept if the run fails.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from semloop import Agent, Lake
from semloop.command.stack.start import ready, supervisor_mark
from semloop.command.stack.state import LocalFolder
from semloop.command.stack.supervisor import semloop_command
from semloop.kafka.clients import client_config
from semloop.settings import load
from semloop.storage.location import Storage

SAMPLE_S = 30.0
TURN_EVENTS = 20
COUNTS = """
SELECT count(*), count(DISTINCT event_id) FROM events WHERE type = 'message'
"""
# Noise of the machine, in percent of a core and MiB.
CPU_NOISE, MEMORY_NOISE_MB = 2.0, 100.0
TEXT = "The customer asks to move the flight of {n} to the next morning, in seat {m}A."


@dataclass
class Usage:
    """CPU seconds and memory of one process of the stack at each sample."""

    pid: int
    cpu_s: float
    percents: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)


def semloop(*arguments: str) -> str:
    """Run a command, and return its output."""
    command = semloop_command(*arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def start(lake: Path) -> "subprocess.Popen[bytes]":
    """Start what `up` starts, but never on the port of another stack of this user."""
    folder = LocalFolder(Storage.of(load()).local_folder())
    assert folder.path.parent == lake
    supervisor = subprocess.Popen(
        semloop_command("_supervise", "--private"),
        # It would stop at the end of this pipe.
        stdin=subprocess.PIPE,
        stderr=folder.log("supervisor").open("wb"),
        env=os.environ | supervisor_mark(folder),
    )
    ready(supervisor, folder, 0)
    return supervisor


def hold(batches: int) -> None:
    """Let the broker hold batches of one record, in a topic that no flow reads."""
    config = client_config(load())
    topic = "soak-held"
    admin = AdminClient(config)
    admin.create_topics([NewTopic(topic, 1)])[topic].result(10)
    producer = Producer(config | {"linger.ms": 0, "batch.num.messages": 1})
    for number in range(batches):
        producer.produce(topic, b"held")
        if number % 1_000 == 0:
            producer.flush()
    producer.flush()


def processes(lake: Path) -> dict[str, psutil.Process]:
    """Return the processes of the stack by name, with the scheduled ones."""
    stack = LocalFolder(lake / "_local").read()
    assert stack is not None
    pids = {name: flow.pid for name, flow in stack.flows.items()}
    found = {"supervisor": stack.pid, "broker": stack.broker_pid} | pids
    running = {name: psutil.Process(pid) for name, pid in found.items() if pid}
    for child in running["supervisor"].children():
        if child.pid not in found.values():
            running["maintain"] = child
    return running


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of those it has waited for."""
    times = process.cpu_times()
    own = float(times.user + times.system)
    if "_supervise" in process.cmdline():
        # Scheduled commands end; their time is then that of the supervisor.
        own += float(times.children_user + times.children_system)
    return own


def sample(lake: Path, usages: dict[str, Usage], seconds: float) -> None:
    """Add a sample of each process, and print it."""
    shown = []
    for name, process in processes(lake).items():
        try:
            used_s, memory_mb = cpu_s(process), process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            continue
        usage = usages.setdefault(name, Usage(process.pid, used_s))
        if usage.pid != process.pid:
            usage.pid, usage.cpu_s = process.pid, 0.0
        percent = max(0.0, 100 * (used_s - usage.cpu_s) / seconds)
        usage.cpu_s = used_s
        usage.percents.append(percent)
        usage.memory_mb.append(memory_mb)
        shown.append(f"{name} {percent:.1f} % {memory_mb:.0f} MB")
    print(f"{time.strftime('%H:%M:%S')}  {', '.join(shown)}", flush=True)


def report(usages: dict[str, Usage]) -> bool:
    """Print the means of the first and last quarter; return True if none grew."""
    steady = True
    totals = [0.0] * 4
    print(f"{'':<12}{'first quarter':>20}{'last quarter':>20}")
    for name, usage in usages.items():
        # The first sample includes the start.
        percents, memory = usage.percents[1:], usage.memory_mb[1:]
        if len(percents) < 4:
            continue
        quarter = max(1, len(percents) // 4)
        found = [
            statistics.mean(values)
            for values in (
                percents[:quarter],
                memory[:quarter],
                percents[-quarter:],
                memory[-quarter:],
            )
        ]
        totals = [total + value for total, value in zip(totals, found, strict=True)]
        print(_row(name, found))
        if name in {"broker", "supervisor"}:
            steady &= found[2] <= found[0] + CPU_NOISE
            steady &= found[3] <= found[1] + MEMORY_NOISE_MB
    print(_row("total", totals))
    return steady


def _row(name: str, found: list[float]) -> str:
    columns = [f"{found[at]:8.1f} % {found[at + 1]:6.0f} MB".rjust(20) for at in (0, 2)]
    return f"{name:<12}{''.join(columns)}"


def produce(lake: Path, usages: dict[str, Usage], rate: float, hours: float) -> int:
    """Emit events at a steady rate, and sample; return how many events."""
    agent = Agent("soak")
    begin_s = sampled_s = time.monotonic()
    end_s = begin_s + hours * 3600
    count = 0
    while time.monotonic() < end_s:
        with agent.session(task=f"turn {count}") as session:
            for number in range(TURN_EVENTS):
                due_s = begin_s + count / rate
                time.sleep(max(0.0, due_s - time.monotonic()))
                session.message("user", TEXT.format(n=count, m=number))
                count += 1
        if time.monotonic() - sampled_s >= SAMPLE_S:
            sample(lake, usages, time.monotonic() - sampled_s)
            sampled_s = time.monotonic()
    agent.flush(60.0)
    return count


def main() -> int:
    """Run the soak; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--rate", type=float, default=50.0, help="events per second")
    parser.add_argument("--as-if-hours", type=float, default=0.0)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--held-batches", type=int, default=0)
    arguments = parser.parse_args()
    scale = max(1.0, arguments.as_if_hours / arguments.hours)
    folder = Path(tempfile.mkdtemp(prefix="semloop-soak-"))
    lake = folder / ".semloop"
    os.environ |= {
        "SEMLOOP_LAKE": str(lake),
        "SEMLOOP_SPOOL": str(folder / "spool"),
        "SEMLOOP_EMBEDDER": arguments.embedder,
        "SEMLOOP_COMMIT_INTERVAL_S": str(1 / scale),
    }
    print(f"lake {lake}, {1 / scale:.3f} s between commits", flush=True)
    supervisor = start(lake)
    usages: dict[str, Usage] = {}
    try:
        hold(arguments.held_batches)
        count = produce(lake, usages, arguments.rate, arguments.hours)
        steady = report(usages)
    finally:
        print(semloop("down", "--timeout", "600"))
        supervisor.wait()
    counts = Lake(load().lake).sql(COUNTS).fetchone()
    assert counts is not None
    stored, distinct = counts
    print(f"{count:,} events emitted, {stored:,} stored, {distinct:,} distinct")
    if count == stored == distinct and steady:
        # The agent of this process still has its spool there.
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    print(f"FAILED; kept: {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
