"""How good and how quick recall is; `just bench-recall [FILE]`.

FILE is gzipped or plain JSON lines, one conversation a line: {"conversation", "turns":
[{"id", "session", "timestamp", "speaker", "text"}], "questions": [{"question",
"category", "evidence": [ids]}]}. Its turns are imported as messages with their own
times, a namespace a conversation, and go through broker, `archive` and `memory` as all
events do. Counted is the share of a question's evidence among the first hits. Then
events come at 100 a second, and it is measured when each can be recalled. Last, with or
without FILE, recall is timed over 100,000 memories. Printed as tables, then as JSON.
"""

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich.console
import rich.table
from made_lake import made_lake

from semloop import Agent, Lake
from semloop.settings import load

if TYPE_CHECKING:
    import pyarrow as pa

MEMORIES = 100_000
QUERIES = 100
COLD_STARTS = 5
LIVE_S, LIVE_PER_S = 30, 100
PROBE_EVERY = 50
# What the ranking adds up, each by itself.
PARTS = ("similarity", "keyword", "keyword_context")
HITS_OF_PARTS = 50
ASKED = (
    "a payment was refused", "who fixed the failing test", "change the flight",
    "the customer wants her money back", "timeout while searching", "ship the order",
)  # fmt: skip
Figures = dict[str, Any]


def semloop(lake: Path, *arguments: str) -> str:
    """Run a command as anybody would."""
    environ = {**os.environ, "SEMLOOP_LAKE": str(lake)}
    command = [sys.executable, "-P", "-m", "semloop", *arguments]
    result = subprocess.run(
        command, env=environ, cwd=lake.parent, check=True, capture_output=True
    )
    return result.stdout.decode()


@contextmanager
def stack(lake: Path) -> Iterator[str]:
    """Broker and flows; gives the broker's address."""
    semloop(lake, "up")
    try:
        status = json.loads(semloop(lake, "status", "--format", "json"))
        yield status["kafka"]["address"]
    finally:
        semloop(lake, "down", "--force")


def conversations(path: Path) -> list[dict[str, Any]]:
    """The lines of a file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def event_id(conversation: str, turn: str) -> str:
    """A turn's id as an event."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{conversation}/{turn}"))


def write_events(found: Sequence[dict[str, Any]], path: Path) -> int:
    """The turns as events, for `semloop import`; gives their number."""
    lines = [
        json.dumps(
            {
                "id": event_id(c["conversation"], turn["id"]),
                "type": "message",
                "timestamp": turn["timestamp"],
                "agent": turn["speaker"],
                "payload": {"role": "user", "content": turn["text"]},
                "meta": {
                    "session_id": f"{c['conversation']}/{turn['session']}",
                    "namespace": f"c{c['conversation']}",
                },
            }
        )
        for c in found
        for turn in c["turns"]
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return len(lines)


def quality(lake: Lake, found: Sequence[dict[str, Any]]) -> Figures:
    """Evidence recall at 5 and 10, by category, and of each part alone at 10."""
    shares: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for c in found:
        for question in c["questions"]:
            wanted = {event_id(c["conversation"], t) for t in question["evidence"]}
            hits = lake.recall(
                question["question"], HITS_OF_PARTS,
                namespace=f"c{c['conversation']}", kind="event",
            )  # fmt: skip
            counted = share(hits, wanted, 5), share(hits, wanted, 10)
            shares["all"].append(counted)
            shares[f"category {question['category']}"].append(counted)
            for part in PARTS:
                ordered = hits.sort_by([(part, "descending")])
                alone = share(ordered, wanted, 5), share(ordered, wanted, 10)
                shares[f"by {part} alone"].append(alone)
    return {
        name: {
            "questions": len(values),
            "at 5": round(statistics.mean(at for at, _ in values), 4),
            "at 10": round(statistics.mean(at for _, at in values), 4),
        }
        for name, values in sorted(shares.items())
    }


def share(hits: "pa.Table", wanted: set[str], k: int) -> float:
    """Share of the wanted events among the first hits."""
    ids = hits["event_ids"].slice(0, k).to_pylist()
    return len(wanted & {one for event_ids in ids for one in event_ids}) / len(wanted)


def freshness(lake: Lake, kafka: str, folder: Path) -> Figures:
    """Seconds from emitting an event to its being recalled, at a steady rate."""
    settings = load(kafka=kafka, spool=str(folder / "spool"))
    agent = Agent("live", namespace="live", settings=settings)
    emitted: dict[str, float] = {}
    took: list[float] = []
    with agent.session() as session:
        begin_s, number = time.monotonic(), 0
        while len(took) < LIVE_S * LIVE_PER_S // PROBE_EVERY:
            now_s = time.monotonic()
            due = min(int((now_s - begin_s) * LIVE_PER_S), LIVE_S * LIVE_PER_S)
            for n in range(number, due):
                word = f"probe{uuid.uuid4().hex[:12]}" if n % PROBE_EVERY == 0 else ""
                session.message("user", f"event {n} of the live stream {word}")
                if word:
                    emitted[word] = time.monotonic()
            number = due
            for word in list(emitted):
                hits = lake.recall(word, 1, namespace="live", kind="event")
                if not hits.num_rows or word not in hits["text"][0].as_py():
                    break
                took.append(time.monotonic() - emitted.pop(word))
    return {"events a second": LIVE_PER_S, **quantiles(took, 1, "s")}


def speed(folder: Path) -> Figures:
    """Milliseconds of a recall in process, and of the command from its start."""
    settings = load(lake=str(folder / "made"))
    made_lake(settings, MEMORIES)
    semloop(folder / "made", "maintain", "index")
    figures: Figures = {"memories": MEMORIES}
    with Lake(settings=settings) as lake:
        lake.recall("the first loads the model")
        for name, filters in (
            ("all", {}),
            ("a namespace of 5 %", {"namespace": "n3"}),
            ("a good end", {"min_reward": 0.9}),
        ):
            took = []
            for number in range(QUERIES):
                # Asked anew each time: a known query's vector is remembered.
                query = f"{ASKED[number % len(ASKED)]}, case {number} of {name}"
                begin_s = time.perf_counter()
                hits = lake.recall(query, **filters)
                took.append(time.perf_counter() - begin_s)
                assert hits.num_rows == 10, hits.num_rows
            figures[f"recall, {name}"] = quantiles(took, 1e3, "ms")
    cold = []
    for _ in range(COLD_STARTS):
        begin_s = time.perf_counter()
        semloop(folder / "made", "recall", ASKED[0])
        cold.append(time.perf_counter() - begin_s)
    figures["semloop recall, cold"] = quantiles(cold, 1, "s")
    return figures


def quantiles(took: Sequence[float], scale: float, unit: str) -> Figures:
    """Median and 95th percentile."""
    ordered = sorted(took)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return {
        f"p50 {unit}": round(statistics.median(ordered) * scale, 2),
        f"p95 {unit}": round(p95 * scale, 2),
    }


def show(title: str, figures: Figures) -> None:
    """Print figures as a table: a row for each name whose value has several."""
    rows = {k: v if isinstance(v, dict) else {"": v} for k, v in figures.items()}
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = rich.table.Table("", *columns, title=title)
    for name, row in rows.items():
        table.add_row(name, *(str(row.get(column, "")) for column in columns))
    rich.console.Console().print(table)


def main() -> None:
    """Measure and print."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if len(sys.argv) > 1:
            found, lake = conversations(Path(sys.argv[1])), folder / "lake"
            count = write_events(found, folder / "events.jsonl")
            with stack(lake) as kafka:
                begin_s = time.monotonic()
                semloop(
                    lake, "import", str(folder / "events.jsonl"), "--format", "events"
                )
                for flow in ("archive", "memory"):
                    semloop(lake, "run", flow, "--until-caught-up")
                took_s = round(time.monotonic() - begin_s, 1)
                with Lake(lake) as opened:
                    figures["import"] = {"events": count, "until recallable, s": took_s}
                    show("Import", figures["import"])
                    figures["quality"] = quality(opened, found)
                    show("Share of the evidence among the first", figures["quality"])
                    figures["freshness"] = freshness(opened, kafka, folder)
                    show("From an event to its recall", {"": figures["freshness"]})
        figures["speed"] = speed(folder)
        show("Recall", figures["speed"])
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
