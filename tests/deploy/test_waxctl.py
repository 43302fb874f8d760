"""The files of `deploy/waxctl`, run as the chart of waxctl runs them.

The chart copies a file into an empty folder and starts `entrypoint.sh` of the image.
"""

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from semloop.flow_registry import FLOWS
from semloop.kafka.topic import Topic
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.deploy.program import accept
from tests.flows.flow_runner import produce
from tests.support.processes import ROOT, environment
from tests.support.services import free_port, wait_for

WAXCTL = ROOT / "deploy/waxctl"

pytestmark = pytest.mark.process


class Pods:
    """Processes that start like the containers of the chart, on one host."""

    def __init__(self, folder: Path, flow: str, settings: Settings, count: int) -> None:
        self._folder, self._flow, self._settings = folder, flow, settings
        port = free_port(count)
        self.addresses = [f"127.0.0.1:{port + number}" for number in range(count)]
        (folder / "hostfile.txt").write_text("\n".join(self.addresses) + "\n")
        shutil.copy(WAXCTL / f"{flow}.py", folder)
        # The image has it.
        (folder / "bin").mkdir()
        (folder / "bin/tini").write_text('#!/bin/sh\nshift\nexec "$@"\n')
        (folder / "bin/tini").chmod(0o755)

    @contextmanager
    def start(self, number: int = 0, **more: str) -> Iterator["subprocess.Popen[str]"]:
        """Start the container of a pod; kill it when the block ends."""
        values = yaml.safe_load((WAXCTL / "values.yaml").read_text())
        programs = self._folder / "bin", Path(sys.executable).parent, os.environ["PATH"]
        own = {
            "PATH": os.pathsep.join(map(str, programs)),
            "PYTHONUNBUFFERED": "1",
            "RUST_BACKTRACE": "full",
            "BYTEWAX_PYTHON_FILE_PATH": str(self._folder / f"{self._flow}.py"),
            "BYTEWAX_WORKDIR": str(self._folder),
            "BYTEWAX_WORKERS_PER_PROCESS": "1",
            "BYTEWAX_POD_NAME": f"semloop-{self._flow}-{number}",
            "BYTEWAX_STATEFULSET_NAME": f"semloop-{self._flow}",
            "BYTEWAX_REPLICAS": str(len(self.addresses)),
            "BYTEWAX_HOSTFILE_PATH": str(self._folder / "hostfile.txt"),
            "BYTEWAX_KEEP_CONTAINER_ALIVE": "false",
            **values["env"],
        }
        process = subprocess.Popen(
            ["sh", "-c", "sh ./entrypoint.sh"],
            cwd=WAXCTL,
            env=environment(self._settings, **own) | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end(process)
            process.wait()
            if process.stdout:
                process.stdout.close()


def test_every_flow_has_a_file() -> None:
    assert {file.stem for file in WAXCTL.glob("*.py")} == set(FLOWS)


def test_the_program_accepts_the_settings_of_the_values() -> None:
    values = yaml.safe_load((WAXCTL / "values.yaml").read_text())
    settings = accept(values["env"])
    assert settings.metrics.host == "0.0.0.0"
    assert values["env"]["HOME"] in [
        m["mountPath"] for m in values["extraVolumeMounts"]
    ]
    assert not values["configuration"]["recovery"]["enabled"]


@pytest.mark.parametrize("flow", FLOWS)
def test_each_file_starts_its_flow_which_reports_a_wrong_setting(
    flow: str, tmp_path: Path, storage_settings: Settings
) -> None:
    pods = Pods(tmp_path, flow, storage_settings, 1)
    wrong = {"SEMLOOP_COMMIT_ROWS": "many", "SEMLOOP_METRICS_PORT": "0"}
    with pods.start(0, **wrong) as process:
        output, _ = process.communicate()
    assert process.returncode == 1, output
    assert len(output.splitlines()) == 2, output
    assert "commit_rows" in output


def test_two_pods_share_the_partitions_and_answer_probes(
    settings: Settings, topic: Topic, tmp_path: Path
) -> None:
    produce(settings, 20)
    port = free_port(2)
    pods = Pods(tmp_path, "archive", settings, 2)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(pods.start(n, SEMLOOP_METRICS_PORT=str(port + n)))
            for n in range(2)
        ]
        wait_for("both are ready", lambda: all(map(is_ready, (port, port + 1))))
        wait_for("all are stored", lambda: stored(settings) == 20)
        end(processes[0])
        # A member ends with the others, and the chart starts all of them again.
        assert processes[1].wait() == 1


def end(process: "subprocess.Popen[str]") -> None:
    """Kill the shell of a container, and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def stored(settings: Settings) -> int:
    """Return the number of events in the lake."""
    with Lake(settings=settings) as lake:
        (row,) = lake.sql("SELECT count(*) FROM events").fetchall()
    return int(row[0])


def is_ready(port: int) -> bool:
    """True if the probe of a process passes."""
    with suppress(OSError):
        url = f"http://127.0.0.1:{port}/ready"
        with urllib.request.urlopen(url) as response:
            return bool(response.status == 200)
    return False


@pytest.fixture
def storage_settings(tmp_path: Path) -> Settings:
    """Settings of a lake that does not exist."""
    return accept({"SEMLOOP_LAKE": str(tmp_path / "lake")})
