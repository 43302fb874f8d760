"""Runs `semloop ARGUMENTS` and ends the process at a fail-point.

`python -P -m tests.storm.armed POINT ARGUMENTS`: `POINT` is a name in `FAIL_POINTS`.
"""

import signal
import sys

from semloop.__main__ import main
from tests.storm.fail_points import FAIL_POINTS

if __name__ == "__main__":
    _, point, *arguments = sys.argv
    FAIL_POINTS[point].arm(signal.SIGKILL)
    sys.argv = ["semloop", *arguments]
    main()
