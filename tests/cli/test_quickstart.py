"""Every command of docs/quickstart.md, unchanged and in order."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT

pytestmark = pytest.mark.process

PAGE = ROOT / "docs" / "quickstart.md"
# Command -> text that its output must contain.
EXPECTED = {
    "semloop demo --events 1000": "nothing lost, nothing duplicated",
    "semloop up": "semloop status, semloop down",
    "semloop health": "ok    flow archive runs",
    "semloop run archive --until-caught-up": "lines that become dead letters: 1.",
    "semloop show trip-1": "sold out",
    "semloop sql": '"tool": "book", "status": "error"',
    "semloop tail": "Where is order 1234?",
    "python ask.py": "[('search', 1), ('book', 2)]",
    "semloop recall": "sold out",
    "semloop dlq ls": "chat-2",
    "semloop status": ", caught up",
    "semloop down": "Everything is in the lake",
}


@pytest.fixture
def environ(usual_port: None, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a new user, in a folder of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEMLOOP_")}
    programs = str(Path(sys.executable).parent)
    environ = kept | {
        "PATH": f"{programs}:{kept['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "COLUMNS": "120",
    }
    yield environ
    stop = ["semloop", "down", "--force"]
    subprocess.run(stop, env=environ, cwd=tmp_path, capture_output=True)


def test_every_command_of_the_page_prints_the_expected_output(
    environ: dict[str, str], tmp_path: Path
) -> None:
    page = PAGE.read_text("utf-8")
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    missed = dict(EXPECTED)
    for language, block in blocks:
        if language == "python":
            name = block.partition("\n")[0].removeprefix("# ")
            (tmp_path / name).write_text(block)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            env=environ,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{block}{done.stdout}{done.stderr}"
        for command in [command for command in missed if command in block]:
            assert missed.pop(command) in done.stdout, f"{block}{done.stdout}"
    assert missed == {}
