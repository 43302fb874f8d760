"""Compacts the lake of the environment, and prints the largest memory of the process.

`python -m tests.flows.wide_compaction`: the number of merges, and MiB.
"""

import sys
from pathlib import Path

from flows.compact import compact
from semloop.settings import load


def main() -> None:
    report = compact(load())
    status = Path("/proc/self/status").read_text().split()
    peak_kib = int(status[status.index("VmHWM:") + 1])
    sys.stdout.write(f"{report.merged} {peak_kib // 1024}\n")


if __name__ == "__main__":
    main()
