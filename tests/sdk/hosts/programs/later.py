"""The next process: sends what others have left, until nothing is left."""

import os
import time
from pathlib import Path

from tests.sdk.hosts.host import agent

spool = Path(os.environ["SEMLOOP_SPOOL"])
agent()
end_s = time.monotonic() + 40
while list(spool.glob("*.seg")):
    assert time.monotonic() < end_s, list(spool.iterdir())
    time.sleep(0.05)
