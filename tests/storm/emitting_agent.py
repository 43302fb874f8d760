"""An agent that emits at a steady rate, and writes down each id once it has emitted it.

`python -m tests.storm.emitting_agent FILE` ends on SIGTERM, when the broker has all.
"""

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from semloop import Agent

EVENTS_PER_S = 50
SESSION_EVENTS = 200
FLUSH_S = 120.0


class Stop(Exception):
    """SIGTERM was received."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stop


def emit_until_stopped(agent: Agent, path: Path) -> None:
    """Emit messages with consecutive numbers, of one session after another."""
    number, next_s = 0, time.monotonic()
    with path.open("a", buffering=1) as ids:
        while True:
            session = agent.session(f"s-{number}")
            for _ in range(SESSION_EVENTS):
                ids.write(session.message("user", f"case number {number}") + "\n")
                number += 1
                # A process that was suspended continues at the same rate.
                next_s = max(next_s + 1 / EVENTS_PER_S, time.monotonic() - 1)
                time.sleep(max(0.0, next_s - time.monotonic()))


def main() -> None:
    """Emit until SIGTERM; print what became of the events."""
    signal.signal(signal.SIGTERM, _stop)
    agent = Agent("steady")
    try:
        emit_until_stopped(agent, Path(sys.argv[1]))
    except Stop:
        sent = agent.flush(FLUSH_S)
        stats = agent.stats()
        counts = {"sent": sent, "refused": stats.refused, "dropped": stats.dropped}
        print(json.dumps(counts))


if __name__ == "__main__":
    main()
