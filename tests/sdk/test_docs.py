"""The code in docs/agents.md runs and sends the described events."""

import os
import re
import subprocess
import sys

from semloop.settings import Settings
from tests.sdk.sent_events import sent
from tests.support.processes import ROOT, environment

PAGE = ROOT / "docs" / "agents.md"


def test_every_code_block_of_the_agents_page_runs(settings: Settings) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2
    spool = os.path.join(settings.lake, "spool")
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            env=environment(settings, SEMLOOP_SPOOL=spool),
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
    kinds = [event["type"] for event in sent(settings)]
    assert sorted(kinds) == [
        "completion", "feedback", "message", "state_change", "tool_call",
    ]  # fmt: skip
