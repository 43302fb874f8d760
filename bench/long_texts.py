"""What texts of 100 kB cost; `just bench-long-texts`.

Recall is measured over two lakes with the same number of memories, of short texts and
of texts of 130 parts, in turns. The processor time of making such a text's memories,
without their vectors, is measured too. Prints JSON.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recall_speed import QUESTIONS
from synthetic_lake import write_synthetic_lake

from operators.memories.parts import event_parts
from semloop import Lake
from semloop.lake.generations import FIRST_GENERATION
from semloop.settings import load
from semloop.storage.location import Storage
from semloop.texts.event_text import plain_line
from semloop.texts.shortened import shortened
from sinks.vectors.maintenance import maintain

MEMORIES = 20_000
# Memories of a text of 100 kB, and their words: 240 tokens each.
PARTS, PART_WORDS = 130, 150
QUERIES = 100
ROUNDS = 5
TEXT_CHARS = 100_000
SENTENCE = "The committee of section {} reviewed {} minutes and found nothing unusual. "


def recall_ms(folder: Path) -> dict[str, float]:
    """Return the median of a recall over short and over long texts, and their ratio."""
    shapes = {"short": (1, 14), "long": (PARTS, PART_WORDS)}
    lakes = {}
    for name, shape in shapes.items():
        settings = load(lake=str(folder / name))
        write_synthetic_lake(settings, MEMORIES, *shape)
        maintain(Storage.of(settings), FIRST_GENERATION)
        lakes[name] = Lake(settings=settings)
        lakes[name].recall("the first query loads the model")
    took: dict[str, list[float]] = {name: [] for name in lakes}
    for number in range(QUERIES):
        query = f"{QUESTIONS[number % len(QUESTIONS)]}, case {number}"
        for name, lake in lakes.items():
            begin_s = time.perf_counter()
            lake.recall(query)
            took[name].append((time.perf_counter() - begin_s) * 1e3)
    for lake in lakes.values():
        lake.close()
    medians = {name: statistics.median(values) for name, values in took.items()}
    return medians | {"ratio": medians["long"] / medians["short"]}


def memories_ms() -> dict[str, float]:
    """Return the milliseconds of each step from a text of 100 kB to its memories."""
    sentences = (SENTENCE.format(n, n * 7) for n in range(TEXT_CHARS))
    text = ""
    while len(text) < TEXT_CHARS:
        text += next(sentences)
    steps: dict[str, Callable[[], object]] = {
        "without data, in one line": lambda: plain_line(text),
        "shortened": lambda: shortened(text, TEXT_CHARS // 2),
        "split": lambda: event_parts([text], "agent", 10_000),
    }
    return {name: _median_ms(step) for name, step in steps.items()}


def _median_ms(step: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        begin_s = time.process_time()
        step()
        took.append((time.process_time() - begin_s) * 1e3)
    return statistics.median(took)


def main() -> None:
    """Run the measurements."""
    with tempfile.TemporaryDirectory() as folder:
        figures = {"memories": memories_ms(), "recall": recall_ms(Path(folder))}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
