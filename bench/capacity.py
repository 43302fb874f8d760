"""What a million events need: CPU, memory, disk, and S3 requests per commit.

`just bench-capacity --events 200000`. Starts a broker and an S3 server (Apache Kafka
and MinIO with `SEMLOOP_TEST_SERVICES`), produces events, and runs each streaming flow
until it has caught up. From the CPU of a flow, that of a start without new events is
subtracted; what only the first start does, such as the model, is done before. Then it
sends events every second or so
to a lake on S3, with one flow at a time, and counts requests between commits.
"""

import argparse
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from confluent_kafka import Producer
from deltalake import DeltaTable

from semloop.command.stack.supervisor import semloop_command
from semloop.flow_registry import STREAMING
from semloop.kafka.topic import TopicAdmin
from semloop.settings import load
from tests.support.services import start_broker
from tests.support.store_proxy import StoreProxy
from tests.support.stores import BUCKET, make_bucket, start_store, variables

SESSION_EVENTS = 20
SMALL_COMMITS, SMALL_COMMIT_S = 20, 1.3
TEXT = (
    "The customer {n} asks to move flight {m} to the next morning and to keep seat "
    "{s}, because the connection in Oslo is too short; a refund is no option."
)
# `memory` is slower than the others by a factor of this order.
MEMORY_PART = 100
WARM_EVENTS = 100
MIB = 1024 * 1024


def events(count: int, first: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield keys and records: messages, tool calls, and completions of sessions."""
    for n in range(first, first + count):
        session = f"s-{n // SESSION_EVENTS}"
        kind = "tool_call" if n % 3 == 0 else "message"
        payload: dict[str, object] = {"role": "user", "content": TEXT.format(
            n=n, m=n % 911, s=n % 37)}  # fmt: skip
        if kind == "tool_call":
            payload = {"tool": f"tool-{n % 20}", "status": "success",
                       "duration_ms": float(n % 977), "arguments": {"flight": n % 911},
                       "result": TEXT.format(n=n, m=n % 911, s=n % 37)}  # fmt: skip
        if n % SESSION_EVENTS == SESSION_EVENTS - 1:
            kind, payload = (
                "completion",
                {"outcome": "success", "task": "move a flight"},
            )
        yield session, msgspec.json.encode({
            "id": str(uuid.uuid4()), "type": kind, "agent": f"agent-{n % 50}",
            "timestamp": datetime.now(UTC), "payload": payload,
            "meta": {"session_id": session, "credits_used": 0.01},
        })  # fmt: skip


def produce(environ: dict[str, str], records: Iterator[tuple[str, bytes]]) -> int:
    """Send records; return their bytes."""
    producer = Producer({"bootstrap.servers": environ["SEMLOOP_KAFKA"],
                         "queue.buffering.max.messages": 1_000_000})  # fmt: skip
    size = 0
    for key, value in records:
        producer.produce(environ["SEMLOOP_TOPIC"], value, key)
        producer.poll(0)
        size += len(value)
    assert producer.flush(120) == 0
    return size


def caught_up(environ: dict[str, str], flow: str) -> tuple[float, int]:
    """Run a flow until it has caught up; return CPU seconds and peak bytes."""
    command = semloop_command("run", flow, "--until-caught-up")
    process = subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0, f"{flow}: {status}"
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def measure_flows(environ: dict[str, str], lake: Path, count: int) -> None:
    """Print CPU, memory and disk of each flow; `memory` gets a part of the events."""
    print("flow        events  CPU-s/million  start CPU-s  peak MiB")
    done = WARM_EVENTS
    produce(environ, events(WARM_EVENTS))
    for flow in STREAMING:
        caught_up(environ, flow)
    for flows, events_added in (
        (("archive", "memory"), max(1, count // MEMORY_PART)),
        (("archive", "metrics"), count),
    ):
        size = produce(environ, events(events_added, done))
        for flow in flows:
            used, peak = caught_up(environ, flow)
            start, _ = caught_up(environ, flow)
            each = (used - start) / events_added * 1e6
            print(
                f"{flow:9} {events_added:8,} {each:13.1f} {start:13.1f}"
                f" {peak / MIB:9.0f}"
            )
        done += events_added
        print(f"records of {size / events_added:.0f} bytes; table, bytes, files:")
        for table in sorted(path for path in lake.iterdir() if path.is_dir()):
            files = [path for path in table.rglob("*") if path.is_file()]
            total = sum(path.stat().st_size for path in files)
            if not table.name.startswith("_"):
                print(f"  {table.name:14} {total / done:8.1f} an event, {len(files):4}")


def measure_requests(environ: dict[str, str], proxy: StoreProxy) -> None:
    """Print the requests of each flow, per commit and while nothing is new."""
    print("flow      commits  per commit                            idle, in 20 s")
    for flow in STREAMING:
        table = {"archive": "events", "memory": "episodes"}.get(flow, "agent_metrics")
        others = [name for name in STREAMING if name == "archive" != flow]
        processes = [
            subprocess.Popen(
                semloop_command("run", name), env=environ | {
                    "AWS_ENDPOINT_URL": proxy.endpoint if name == flow
                    else environ["AWS_ENDPOINT_URL"]},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for name in [*others, flow]
        ]  # fmt: skip
        produce(environ, events(1))
        time.sleep(25)  # It starts, and reads what is there.
        before = version(environ, table)
        proxy.ask("taken")
        for _ in range(SMALL_COMMITS):
            produce(environ, events(5))
            time.sleep(SMALL_COMMIT_S)
        time.sleep(3)
        counts = proxy.ask("taken")
        commits = version(environ, table) - before
        time.sleep(20)
        idle = proxy.ask("taken")
        each = {
            name: round(n / max(1, commits), 1) for name, n in sorted(counts.items())
        }
        print(f"{flow:9} {commits:7}  {each}  {dict(sorted(idle.items()))}")
        for process in processes:
            process.terminate()
            process.wait()


def version(environ: dict[str, str], table: str) -> int:
    """Return the version of a table on S3."""
    options = {name: environ[name] for name in environ if name.startswith("AWS_")}
    options |= {"allow_http": "true"}
    return DeltaTable(
        f"{environ['SEMLOOP_LAKE']}/{table}", storage_options=options
    ).version()


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    count = parser.parse_args().events
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker, store = start_broker(folder), start_store(folder)
        try:
            for lake in (folder / "lake", None):
                environ = dict(os.environ) | {
                    "SEMLOOP_KAFKA": broker.address, "SEMLOOP_LAKE": str(lake),
                    "SEMLOOP_TOPIC": f"capacity-{uuid.uuid4().hex[:8]}",
                    "SEMLOOP_METRICS_PORT": "0",
                }  # fmt: skip
                topic = environ["SEMLOOP_TOPIC"]
                TopicAdmin(load({}, kafka=broker.address, topic=topic)).ensure()
                if lake is not None:
                    measure_flows(environ, lake, count)
                    continue
                os.environ.update(variables(store.endpoint))
                make_bucket()
                environ |= variables(store.endpoint) | {
                    "SEMLOOP_LAKE": f"s3://{BUCKET}/capacity",
                    "SEMLOOP_REDACTION_KEY": "0" * 64,
                }
                with StoreProxy(
                    "tests.support.counting_store", store.endpoint
                ) as proxy:
                    measure_requests(environ, proxy)
        finally:
            broker.kill()
            store.kill()


if __name__ == "__main__":
    main()
