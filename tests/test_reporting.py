"""Packages that report their use are imported in one place, with their reports off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.reporting import SWITCHES
from tests.support.processes import ROOT
from tests.test_layout import FILES, imports_of, label

BENCH = sorted((ROOT / "bench").rglob("*.py"))
# The switches are set against what the user's environment says.
EMBED = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "0"
from semloop.embedders.factory import embedder_of
from semloop.settings import load
print(embedder_of(load()).embed(["a text"]).shape)
assert "onnxruntime" in sys.modules
"""


def test_no_module_imports_such_a_package_itself() -> None:
    found = [
        label(file)
        for file in [*FILES, *BENCH]
        if {module.partition(".")[0] for module in imports_of(file)} & SWITCHES.keys()
    ]
    assert found == []
    texts = {file: file.read_text("utf-8") for file in [*FILES, *BENCH]}
    naming = {
        label(file)
        for file, text in texts.items()
        if any(f'("{name}")' in text for name in SWITCHES)
    }
    assert naming == {
        "bench/embed.py",
        "semloop/embedders/minilm.py",
        "semloop/embedders/torch_model.py",
    }
    for name in naming:
        for line in texts[ROOT / name].splitlines():
            if any(f'("{package}")' in line for package in SWITCHES):
                assert "= import_without_reports(" in line


@pytest.mark.process
def test_embedding_leaves_no_device_id_or_database_of_onnxruntime(
    tmp_path: Path,
) -> None:
    # onnxruntime writes both while it is imported, before it sends anything.
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", EMBED],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "(1, 384)\n"), done.stderr
    assert list(home.iterdir()) == []
