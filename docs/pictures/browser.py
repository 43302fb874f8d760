"""Pictures of a marimo notebook, taken by Chromium over its DevTools protocol."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

WIDTH, HEIGHT = 1_000, 900
START_S, SHOWN_S, POLL_S = 60, 120, 0.3
# Counts the plots, which marimo draws inside shadow trees.
PLOTS = """
(function count(root) {
  let found = root.querySelectorAll('canvas.marks, svg.marks').length;
  for (const node of root.querySelectorAll('*'))
    if (node.shadowRoot) found += count(node.shadowRoot);
  return found;
})(document)
"""


@contextlib.contextmanager
def served(notebook: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Serve a notebook as an app; yield its address."""
    command = [
        sys.executable, "-m", "marimo", "run", str(notebook), "--headless",
        "--no-token", "--port", str(port := free_port()),
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=dict(environ), stdout=subprocess.DEVNULL
    ) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: bool(urlopen(f"{address}/health")), START_S)
            yield address
        finally:
            process.terminate()


def photographed(address: str, plots: int, height: int, file: Path) -> None:
    """Write the top of a page as a PNG file, once it has this many plots."""
    with chromium() as page:
        page("Emulation.setDeviceMetricsOverride", width=WIDTH, height=height,
             deviceScaleFactor=1, mobile=False)  # fmt: skip
        page("Page.navigate", url=address)

        def drawn() -> bool:
            found = page("Runtime.evaluate", expression=PLOTS)
            return int(found["result"].get("value", 0)) >= plots

        wait_for(drawn, SHOWN_S)
        time.sleep(2)  # The browser draws what was laid out; nothing says when.
        shot = page("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium; yield a function that calls a method of a page."""
    program = shutil.which("chromium") or "chromium"
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        subprocess.Popen(
            [
                program, "--headless", "--no-sandbox", "--disable-gpu",
                "--hide-scrollbars", "--no-first-run",
                "--disable-background-networking", f"--user-data-dir={profile}",
                "--remote-debugging-port=0", "about:blank",
            ],
            stderr=subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        try:
            file = Path(profile, "DevToolsActivePort")
            wait_for(lambda: len(file.read_text().split()) == 2, START_S)
            port = file.read_text().split()[0]
            with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [p for p in json.load(answer) if p["type"] == "page"]
            with connect(pages[0]["webSocketDebuggerUrl"], max_size=None) as connection:
                yield caller(connection)
        finally:
            process.terminate()


def caller(connection: ClientConnection) -> Any:
    """Return a function that calls a method and returns its result."""
    number = 0

    def call(method: str, **parameters: object) -> Any:
        nonlocal number
        number += 1
        connection.send(
            json.dumps({"id": number, "method": method, "params": parameters})
        )
        while True:
            answer = json.loads(connection.recv(timeout=SHOWN_S))
            if answer.get("id") == number:
                return answer["result"]

    return call


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(condition: Any, timeout_s: float) -> None:
    """Wait until a condition is true; errors of files and connections count as false.

    Raises:
        TimeoutError: it does not become true.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if condition():
                return
        time.sleep(POLL_S)
    msg = f"waited for {timeout_s} s"
    raise TimeoutError(msg)
