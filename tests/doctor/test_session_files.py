"""`semloop doctor` about tools that delete the files of their sessions."""

from pathlib import Path

import pytest

from semloop.command.doctor import Finding, Skipped, State
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.session_files import check


@pytest.fixture
def claude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Claude Code, with one of sessions."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    (tmp_path / "projects/one").mkdir(parents=True)
    (tmp_path / "projects/one/a.jsonl").touch()
    return tmp_path


def finding() -> Finding:
    """Return what the check finds."""
    [found] = check(CheckContext())
    return found


def test_the_default_deletes_after_30_days(claude: Path) -> None:
    assert finding().state is State.WARN
    assert "after 30 days (cleanupPeriodDays)" in finding().found


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('{"cleanupPeriodDays": 7}', State.WARN),
        ('{"cleanupPeriodDays": 0}', State.WARN),
        ('{"cleanupPeriodDays": 3650, "model": "m"}', State.OK),
        ('{"model": "m"}', State.WARN),
        ('{"cleanupPeriodDays": "x"}', State.WARN),
        ("{", State.WARN),
    ],
)
def test_the_setting_is_read(claude: Path, text: str, state: State) -> None:
    (claude / "settings.json").write_text(text)
    assert finding().state is state


def test_without_the_tool_there_is_nothing_to_check(
    claude: Path,
) -> None:
    (claude / "projects/one/a.jsonl").unlink()
    with pytest.raises(Skipped):
        list(check(CheckContext()))
