"""Records the demo, `top` and a notebook into `docs/images`.

Needs tmux and Chromium, and the extra `[notebooks]`.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from docs.pictures import browser, terminal

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/images"
# Screens of the demo while it runs; the others are left out.
RUNNING_MAX = 8
# Name of the picture -> notebook, plots to wait for, height in pixels.
NOTEBOOKS = {"notebook.png": ("03_cost_and_reliability.py", 4, 1_000)}


def main() -> None:
    """Make all pictures; run it after a change of what they show."""
    missing = [name for name in ("tmux", "chromium") if shutil.which(name) is None]
    if missing:
        sys.exit(f"Install {' and '.join(missing)} first.")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = {"PATH": os.environ["PATH"], "HOME": name, "LANG": "C.UTF-8"}
        environ |= {"PYTHONPATH": str(ROOT), "TERM": "tmux-256color"}
        with terminal.Terminal(folder, environ | {"COLORTERM": "truecolor"}) as shell:
            *running, end = shell.run("semloop demo")
            step = max(1, -(-len(running) // RUNNING_MAX))
            demo = [*running[::step], end]
            shell.run("cd semloop-demo; export SEMLOOP_LAKE=.")
            recalled = shell.run("semloop recall 'a seat that was sold out' -k 3")
            top = shell.run("semloop top --once --minutes 60")
        done = [recalled[-1], top[-1]]
        write("demo.svg", terminal.as_svg([*demo, *done], "semloop demo, recall, top"))
        write("top.svg", terminal.as_svg(top[-1:], "semloop top --once"))
        environ["SEMLOOP_LAKE"] = str(folder / "semloop-demo")
        for picture, (notebook, plots, height) in NOTEBOOKS.items():
            with browser.served(ROOT / "notebooks" / notebook, environ) as address:
                browser.photographed(address, plots, height, FOLDER / picture)


def write(name: str, text: str) -> None:
    """Write a picture."""
    (FOLDER / name).write_text(text)


main()
