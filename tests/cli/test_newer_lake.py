"""Every command refuses the lake of a newer layout, in one line, and changes nothing."""

import shlex
from pathlib import Path

import pytest

from semloop.storage.location import Storage
from semloop.tables import LAYOUT_FILE
from tests.cli.helpers import Semloop
from tests.sinks.memory_process import lake_settings

pytestmark = pytest.mark.usefixtures("log_setup_restored")
REFUSING = (
    "sql 'SELECT 1'", "sql --print-init", "recall hello", "show s-1", "tail", "dlq ls",
    "dlq show x", "maintain index", "maintain compact",
    "maintain reindex", "maintain upgrade", "maintain upgrade --dry-run",
    "maintain rotate-key", "up",
)  # fmt: skip


@pytest.mark.parametrize("command", REFUSING)
def test_the_lake_of_a_newer_layout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, semloop: Semloop, command: str
) -> None:
    settings = lake_settings(tmp_path / "lake")
    storage = Storage.of(settings)
    assert storage.create(LAYOUT_FILE, b'{"layout": 99}')
    monkeypatch.setenv("SEMLOOP_LAKE", settings.lake)
    monkeypatch.setenv("SEMLOOP_EMBEDDER", "hashing")
    code, out, err = semloop.run(*shlex.split(command))
    assert (code, out) == (1, "")
    assert err.splitlines()[-2:] == [
        f"The lake {settings.lake} has layout 99; this program supports 2 to 3.",
        "Install a newer semloop, or set SEMLOOP_LAKE to another lake.",
    ]
    assert [path.name for path in Path(settings.lake).iterdir()] == [LAYOUT_FILE]
