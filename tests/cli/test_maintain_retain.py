"""`semloop maintain retain` and `maintain all`."""

from functools import partial
from pathlib import Path

import pytest

from semloop.command.cli.maintain_all import run_repeatedly
from semloop.flow_registry import SCHEDULED
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.cli.helpers import Semloop
from tests.flows.retained_lake import DAYS, ROWS, payloads, written

pytestmark = pytest.mark.usefixtures("log_setup_restored")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SEMLOOP_LAKE", str(tmp_path))
    monkeypatch.setenv("SEMLOOP_EMBEDDER", "hashing")
    return load()


def test_retain_says_what_goes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, semloop: Semloop
) -> None:
    storage = written(settings).storage
    code, out, _ = semloop.run("maintain", "retain")
    assert (code, "kept indefinitely" in out, "`memories_max`" in out) == (
        0,
        True,
        True,
    )
    monkeypatch.setenv("SEMLOOP_RETENTION", '{"events": 2, "events/b": 0}')
    code, out, _ = semloop.run("maintain", "retain", "--dry-run")
    assert code == 0
    assert out.startswith("events: 4 rows of 1 date (")
    assert out.endswith(") would go.\n")
    assert len(payloads(storage)) == DAYS * ROWS
    assert semloop.run("maintain", "retain")[1].endswith(") are gone.\n")
    assert len(payloads(storage)) == DAYS * ROWS - 4
    assert semloop.run("maintain", "retain")[:2] == (0, "No rows have expired.\n")
    assert semloop.run("maintain", "retain", "--quiet")[:2] == (0, "")


def test_all_runs_what_is_due_in_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, semloop: Semloop
) -> None:
    storage = written(settings).storage
    monkeypatch.setenv("SEMLOOP_RETENTION", '{"events": 2}')
    code, out, _ = semloop.run("maintain", "all")
    assert code == 0
    first, second, third = out.splitlines()
    assert first == f"Replaced {2 * (DAYS - 1)} files by {DAYS - 1}."
    assert second.startswith(f"events: {ROWS} rows of 1 date (")
    assert third == f"The lake {settings.lake} has no memories yet."
    assert len(payloads(storage)) == (DAYS - 1) * ROWS


def test_all_continues_after_a_flow_that_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, semloop: Semloop
) -> None:
    written(settings)
    monkeypatch.setenv("SEMLOOP_STORAGE_RETRY_S", "0.1")
    path = Path(settings.lake, "dead_letters/_delta_log/00000000000000000000.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{")
    code, out, err = semloop.run("maintain", "all")
    assert code == 1
    assert out == f"The lake {settings.lake} has no memories yet.\n"
    assert "Maintenance failed: compact, vacuum." in err


def test_all_repeats_each_flow_at_its_own_interval(settings: Settings) -> None:
    runs: list[str] = []

    def compact() -> None:
        runs.append("compact")
        if len(runs) > len(SCHEDULED):
            raise KeyboardInterrupt

    others = [name for name in SCHEDULED if name != "compact"]
    by_name = {name: partial(runs.append, name) for name in others}
    settings = settings.replace(compact_every_s=0.001, vacuum_every_s=0.0)
    with pytest.raises(KeyboardInterrupt):
        run_repeatedly(settings, {"compact": compact, **by_name}, 0.001)
    assert runs == ["compact", "retain", "index", "compact", "compact"]


def test_a_retention_in_the_file_of_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "semloop.toml").write_text(
        '[retention]\nevents = 365\n"events/test" = 7\n'
    )
    monkeypatch.chdir(tmp_path)
    assert load().maintenance.retention == {"events": 365.0, "events/test": 7.0}
    assert not Storage.of(load()).has("events")


@pytest.mark.parametrize("command", ["compact", "retain", "vacuum", "upgrade"])
def test_a_lake_that_does_not_exist_is_not_maintained(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, semloop: Semloop
) -> None:
    lake = tmp_path / "mistyped"
    monkeypatch.setenv("SEMLOOP_LAKE", str(lake))
    monkeypatch.setenv("SEMLOOP_RETENTION", '{"events": 2}')
    expected = f"There is no lake at {lake}."
    assert semloop.refused("maintain", command)[0] == expected
    assert not lake.exists()


@pytest.mark.parametrize("days", ['{"events": 1}', '{"nothing": 3}'])
def test_a_wrong_retention_is_named(
    days: str, monkeypatch: pytest.MonkeyPatch, semloop: Semloop
) -> None:
    monkeypatch.setenv("SEMLOOP_RETENTION", days)
    what, todo = semloop.refused("maintain", "retain")
    assert what.startswith("Setting 'retention': `")
    assert "SEMLOOP_RETENTION" in todo
