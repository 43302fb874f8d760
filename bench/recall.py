"""Quality and speed of recall; `just bench-recall [FILE]`.

FILE is gzipped or plain JSON lines, one conversation per line: {"conversation",
"turns": [{"id", "session", "timestamp", "speaker", "text"}], "questions": [{"question",
"category", "evidence": [ids]}]}. Its turns are imported as messages with their
timestamps, one namespace per conversation, through broker, `archive` and `memory` like
all events. Quality is the share of a question's evidence among the first hits.
Freshness is the time until an event can be recalled, at 100 events per second. Speed is
measured with or without FILE, over 3,000 and 100,000 memories, from storage and in
memory by turns; both must give the same answers. Prints tables, then JSON.
"""

import gzip
import json
import statistics
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
from recall_speed import SIZES, Figures, quantiles, semloop, speed

from semloop import Agent, Lake
from semloop.settings import load

if TYPE_CHECKING:
    import pyarrow as pa

LIVE_S, LIVE_PER_S = 30, 100
PROBE_EVERY = 50
# The components of the ranking, also measured alone.
COMPONENTS = ("similarity", "keyword", "keyword_context")
COMPONENT_HITS = 50


@contextmanager
def stack(lake: Path) -> Iterator[str]:
    """Start broker and flows; yield the broker's address."""
    semloop(lake, "up")
    try:
        status = json.loads(semloop(lake, "status", "--format", "json"))
        yield status["kafka"]["address"]
    finally:
        semloop(lake, "down", "--force")


def conversations(path: Path) -> list[dict[str, Any]]:
    """Read the conversations of a file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def event_id(conversation: str, turn: str) -> str:
    """Return the event id of a turn."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{conversation}/{turn}"))


def write_events(found: Sequence[dict[str, Any]], path: Path) -> int:
    """Write the turns as events for `semloop import`; return their number."""
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
    """Evidence recall at 5 and 10: by category, and with each component alone."""
    shares: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for c in found:
        for question in c["questions"]:
            expected = {event_id(c["conversation"], t) for t in question["evidence"]}
            hits = lake.recall(
                question["question"], COMPONENT_HITS,
                namespace=f"c{c['conversation']}", kind="event",
            )  # fmt: skip
            counted = share(hits, expected, 5), share(hits, expected, 10)
            shares["all"].append(counted)
            shares[f"category {question['category']}"].append(counted)
            for component in COMPONENTS:
                ordered = hits.sort_by([(component, "descending")])
                alone = share(ordered, expected, 5), share(ordered, expected, 10)
                shares[f"by {component} alone"].append(alone)
    return {
        name: {
            "questions": len(values),
            "at 5": round(statistics.mean(at for at, _ in values), 4),
            "at 10": round(statistics.mean(at for _, at in values), 4),
        }
        for name, values in sorted(shares.items())
    }


def share(hits: "pa.Table", expected: set[str], k: int) -> float:
    """Share of the expected events among the first k hits."""
    ids = hits["event_ids"].slice(0, k).to_pylist()
    found = {event for event_ids in ids for event in event_ids}
    return len(expected & found) / len(expected)


def freshness(lake: Lake, kafka: str, folder: Path) -> Figures:
    """Seconds from emitting an event until it can be recalled, at a steady rate."""
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
    return {"events per second": LIVE_PER_S, **quantiles(took, 1, "s")}


def show(title: str, figures: Figures) -> None:
    """Print figures as a table with one row per name."""
    rows = {k: v if isinstance(v, dict) else {"": v} for k, v in figures.items()}
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = rich.table.Table("", *columns, title=title)
    for name, row in rows.items():
        table.add_row(name, *(str(row.get(column, "")) for column in columns))
    rich.console.Console().print(table)


def main() -> None:
    """Run the benchmarks and print the results."""
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
                    show("Share of the evidence in the first hits", figures["quality"])
                    figures["freshness"] = freshness(opened, kafka, folder)
                    show("Time from an event to its recall", {"": figures["freshness"]})
        for memories in SIZES:
            figures[f"speed, {memories}"] = speed(folder, memories)
            for title, found in figures[f"speed, {memories}"].items():
                show(f"{memories:,} memories: {title}", found)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
