"""The file `deploy/Dockerfile`: its steps, without a container."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.test_layout import FOLDERS

DOCKERFILE = ROOT / "deploy/Dockerfile"


def steps(instruction: str) -> list[str]:
    """Return the arguments of all instructions of a kind, in order."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)


def copied() -> list[str]:
    """Return the paths of the repository that the image is built from."""
    lines = [line for line in steps("COPY") if not line.startswith("--from")]
    return [path for line in lines for path in line.split()[:-1]]


def test_the_image_has_every_package_and_nothing_that_is_ignored() -> None:
    assert set(FOLDERS) <= set(copied())
    assert [path for path in copied() if not (ROOT / path).exists()] == []
    ignored = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert kept == set(copied())


def test_the_image_runs_commands_as_another_user_than_root() -> None:
    assert steps("USER") == ["65532:65532"]
    assert steps("ENTRYPOINT") == ['["tini", "--"]']
    (start,) = [line for line in steps("COPY") if "entrypoint" in line]
    # The chart of waxctl starts it in the working folder.
    assert start.split()[-1] == f"{steps('WORKDIR')[-1]}/entrypoint.sh"


@pytest.mark.storm
@pytest.mark.timeout(1_800)
def test_what_the_image_installs_has_all_flows_and_the_model(tmp_path: Path) -> None:
    source, environment = tmp_path / "src", tmp_path / "semloop"
    for path in copied():
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        copy(ROOT / path, target)
    install = steps("RUN")[0].replace("/opt/semloop", str(environment))
    install = install.replace("python -m venv", f"{sys.executable} -m venv")
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(["sh", "-ec", install], cwd=source, env=clean, check=True)
    (check,) = [json.loads(line) for line in steps("RUN") if line.startswith("[")]
    _, *arguments = check
    python = environment / "bin/python"
    subprocess.run([python, *arguments], cwd=tmp_path, env=clean, check=True)
    done = subprocess.run(
        [environment / "bin/semloop", "--help"],
        cwd=tmp_path, env=clean, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "maintain" in done.stdout
