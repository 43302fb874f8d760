"""Cost of `semloop.Agent` for its caller: one call, and the import; `just bench-emit`.

Events go to the broker of the settings (run `semloop up` first; without a broker they
go to the spool), at a realistic rate and then as fast as possible. The output shows
quantiles of the duration of a `tool_call`, in microseconds, and the median of five
imports in new processes, in milliseconds.
"""

import statistics
import subprocess
import sys
import time

from semloop import Agent

EVENTS = 20_000
RATE_PER_S = 1_000
IMPORTS = 5
ARGUMENTS = {"query": "flights to Oslo", "limit": 20}
RESULT = [{"id": n, "title": "a result of usual length " * 4} for n in range(5)]


def emit(agent: Agent, rate_per_s: float) -> list[float]:
    """Return the microseconds of each call, sorted."""
    took = []
    begin_s = time.perf_counter()
    with agent.session(task="bench") as s:
        for number in range(EVENTS):
            due_s = begin_s + number / rate_per_s
            time.sleep(max(0.0, due_s - time.perf_counter()))
            called_s = time.perf_counter()
            s.tool_call("search", ARGUMENTS, RESULT, duration_ms=12.5)
            took.append((time.perf_counter() - called_s) * 1e6)
    return sorted(took)


def import_ms() -> float:
    """Return the milliseconds that importing `Agent` adds to the startup of Python."""

    def start(code: str) -> float:
        begin_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return (time.perf_counter() - begin_s) * 1e3

    pairs = [(start("from semloop import Agent"), start("")) for _ in range(IMPORTS)]
    return statistics.median(ours - bare for ours, bare in pairs)


def main() -> None:
    """Run the benchmark and print the results."""
    agent = Agent("bench")
    print(f"{'tool_call, us':<28}{'p50':>8}{'p99':>8}{'p99.9':>8}{'max':>10}")
    for name, rate_per_s in (
        (f"{RATE_PER_S:,} per second", RATE_PER_S),
        ("as fast as possible", 1e9),
    ):
        took = emit(agent, rate_per_s)
        quantiles = [took[int(EVENTS * q)] for q in (0.5, 0.99, 0.999)]
        figures = "".join(f"{value:8.0f}" for value in quantiles)
        print(f"{name:<28}{figures}{took[-1]:10.0f}")
        agent.flush(60)
    print(f"dropped: {agent.dropped:,}")
    print(f"import: {import_ms():.0f} ms")


if __name__ == "__main__":
    main()
