"""Where a start of `archive` on an object store spends its time, up to its first commit.

`python -m tests.storm.flow_start --files 300`, with `SEMLOOP_TEST_SERVICES` on MinIO. A
lake of this many small files is measured, compacted, and measured again. The time of the
processor is the one to compare on a machine that has other work.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import typer

from tests.support.processes import ROOT

STARTS = 5
RECORDS = 100
STEPS = (
    "process", "imports", "broker", "layout, key", "fences", "skip set and window",
    "first poll", "first commit",
)  # fmt: skip


class Marks:
    """Seconds of the clock and of the processor at the end of each step."""

    def __init__(self) -> None:
        self.at: dict[str, tuple[float, float]] = {}

    def set(self, step: str) -> None:
        """Note the end of a step, at its first time."""
        self.at.setdefault(step, (time.time(), time.process_time()))

    def after(self, owner: Any, name: str, step: str) -> None:
        """Note the end of the first call of a function."""
        original: Callable[..., Any] = getattr(owner, name)

        def marked(*args: Any, **options: Any) -> Any:
            found = original(*args, **options)
            self.set(step)
            return found

        setattr(owner, name, marked)


def start_flow(result: Path) -> None:
    """Run `archive` in this process up to its end, and write the marks."""
    marks = Marks()
    marks.set("process")
    import flows.archive  # noqa: F401
    from flows.archive_workers import ArchiveWorkers
    from semloop.settings import load
    from sinks.archive_tables import ArchiveTables
    from sinks.delta.takeover import Takeover
    from sources.kafka.broker_watch import BrokerWatch
    from sources.kafka.reader import KafkaReader
    from tests.support.in_process import run_flow

    marks.set("imports")
    marks.after(BrokerWatch, "describe", "broker")
    marks.after(ArchiveWorkers, "_bind", "layout, key")
    marks.after(Takeover, "run", "fences")
    marks.after(ArchiveTables, "recent_ids", "skip set and window")
    marks.after(KafkaReader, "poll", "first poll")
    marks.after(ArchiveTables, "commit", "first commit")
    run_flow(load(os.environ))
    result.write_text(json.dumps(marks.at))


def measure(environ: dict[str, str], folder: Path) -> dict[str, tuple[float, float]]:
    """Start the flow a few times; return the median seconds of each step."""
    found: dict[str, list[tuple[float, float]]] = {step: [] for step in STEPS}
    for number in range(STARTS):
        result = folder / f"start-{number}.json"
        began_s = time.time()
        command = [sys.executable, "-m", "tests.storm.flow_start", "--result"]
        subprocess.run([*command, str(result)], env=environ, check=True, cwd=ROOT)
        before = (began_s, 0.0)
        for step, at in json.loads(result.read_text()).items():
            found[step].append((at[0] - before[0], at[1] - before[1]))
            before = (at[0], at[1])
    return {
        step: (
            statistics.median(wall for wall, _ in each),
            statistics.median(processor for _, processor in each),
        )
        for step, each in found.items()
    }


def flow_start(
    files: Annotated[int, typer.Option(help="Small files of the lake.")] = 300,
    result: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure the steps of a start, before and after a compaction."""
    if result is not None:
        start_flow(result)
        return
    from flows.compact import compact
    from semloop.kafka.topic import TopicAdmin
    from semloop.settings import load
    from tests.support import stores
    from tests.support.in_process import run_flow
    from tests.support.kill_and_audit import Load
    from tests.support.services import EmbeddedBroker

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker, store = EmbeddedBroker(folder), stores.start_store(folder)
        given = {
            "SEMLOOP_LAKE": f"s3://{stores.BUCKET}/lake",
            "SEMLOOP_KAFKA": broker.address,
            "SEMLOOP_REDACTION_KEY": "0" * 64,
            **stores.variables(store.endpoint),
        }
        try:
            with patch.dict(os.environ, given):
                stores.make_bucket()
                settings = load(os.environ)
                TopicAdmin(settings).ensure()
                Load(settings, files * RECORDS, 0.0).run()
                run_flow(settings.replace(poll_records=RECORDS, commit_rows=1))
                environ = {**os.environ, "PYTHONPATH": str(ROOT)}
                tables = {"small files": measure(environ, folder)}
                compact(settings)
                tables["compacted"] = measure(environ, folder)
        finally:
            store.kill()
            broker.kill()
    for title, steps in tables.items():
        print(f"{files} files, {files * RECORDS:,} events, {store.kind}: {title}")
        for step, (wall_s, processor_s) in steps.items():
            print(f"  {step}: {wall_s:.2f} s, {processor_s:.2f} s of CPU")


if __name__ == "__main__":
    typer.run(flow_start)
