"""A maintainer in a process of its own: `python -m tests.flows.compaction_process`.

It compacts the lake of the environment again and again, from three small files on, and
prints one line per run.
"""

import sys
import time

from flows.compact import compact
from flows.logging_setup import configure
from operators import compaction
from semloop.settings import load

FILES_MIN = 3
PAUSE_S = 0.05


def main() -> None:
    vars(compaction)["FILES_MIN"] = FILES_MIN
    settings = load()
    configure(settings, sys.stderr)
    while True:
        report = compact(settings)
        sys.stdout.write(f"run {report.merged} {report.lost}\n")
        sys.stdout.flush()
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
