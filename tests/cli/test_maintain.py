"""`semloop maintain`, used correctly and incorrectly."""

import io
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import tenacity

from semloop.boot_clock import Moment
from semloop.embedders import endpoint as endpoint_module
from semloop.lake import generations
from semloop.progress.activity import read_flow, sign_of_life
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.cli.helpers import Semloop
from tests.flows.reindex_lake import (
    Events,
    current_generation,
    memories_by_id,
    overlapping_sessions,
    run_memory,
)
from tests.semloop.an_endpoint import AnEndpoint, an_endpoint, good
from tests.sinks.memory_process import lake_settings
from tests.sources.events_table import EventsTable
from tests.support import processes
from tests.support.services import wait_for

pytestmark = pytest.mark.usefixtures("log_setup_restored")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A local lake without a model, which the commands of the test use."""
    found = lake_settings(tmp_path / "la ke ü")
    monkeypatch.setenv("SEMLOOP_LAKE", found.lake)
    monkeypatch.setenv("SEMLOOP_EMBEDDER", "hashing")
    return found


@pytest.fixture
def remembered(settings: Settings) -> Settings:
    """The same lake with memories of 30 events."""
    events = Events(settings)
    events.add(overlapping_sessions(30))
    run_memory(settings, events)
    return settings


def test_maintain_without_a_command_lists_all(semloop: Semloop) -> None:
    code, out, err = semloop.run("maintain")
    assert all(name in out + err for name in ("index", "reindex"))
    code, out, err = semloop.run("maintain", "indx")
    assert (code, err.count("\n")) == (1, 2)


def test_index_reports_what_it_built(remembered: Settings, semloop: Semloop) -> None:
    count = len(memories_by_id(remembered))
    code, out, err = semloop.run("maintain", "index")
    assert code == 0
    assert out.startswith(f"Memories: {count}, fragments: 1, vector index: none (")
    assert "indexes built: namespace, agent," in out
    # Not a terminal: one line per step.
    assert err.splitlines()[0].startswith("vectors (")
    assert len(err.splitlines()) == len(set(err.splitlines()))
    assert "indexes built: none." in semloop.run("maintain", "index")[1]
    life = sign_of_life(read_flow(Storage.of(remembered), "index"), Moment.now())
    assert life is not None
    assert life.ended


@pytest.mark.parametrize("exists", [False, True])
def test_index_reports_a_lake_without_memories(
    settings: Settings, semloop: Semloop, *, exists: bool
) -> None:
    if exists:
        run_memory(settings, Events(settings))
    code, out, _ = semloop.run("maintain", "index")
    assert (code, out) == (0, f"The lake {settings.lake} has no memories yet.\n")
    assert Path(settings.lake).exists() is exists


def test_reindex_reports_the_new_generation(
    remembered: Settings, semloop: Semloop
) -> None:
    count = len(memories_by_id(remembered))
    code, out, err = semloop.run("maintain", "reindex")
    assert code == 0
    assert out == (
        f"Memories: {count}, model: hashing/words/256, skipped by settings: 0. "
        "Generation 2 is now current.\n"
    )
    assert "events (30)" in err
    assert len(memories_by_id(remembered)) == count


def test_progress_bars_are_shown_on_a_terminal(
    remembered: Settings, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    code, out, _ = semloop.run("maintain", "reindex")
    assert code == 0
    assert "\x1b[" not in out
    assert "30 of 30" in terminal.getvalue()


def test_reindex_reports_a_lake_without_episodes(
    settings: Settings, semloop: Semloop
) -> None:
    code, out, err = semloop.run("maintain", "reindex")
    assert (code, out) == (1, "")
    assert err == (
        f"The lake {settings.lake} has no episodes yet.\n"
        "Start the flow that writes them with `semloop up`.\n"
    )
    assert not Path(settings.lake).exists()


def test_index_reports_a_missing_memories_table(
    remembered: Settings, semloop: Semloop
) -> None:
    Path(remembered.lake, generations.FOLDER).rename(Path(remembered.lake, "gone"))
    code, out, err = semloop.run("maintain", "index")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "Rebuild them: `semloop maintain reindex`."


def test_reindex_rejects_a_model_for_an_embedder_with_one_model(
    remembered: Settings, semloop: Semloop
) -> None:
    code, out, err = semloop.run("maintain", "reindex", "--model", "other")
    assert (code, out) == (1, "")
    assert err == (
        "The embedder 'hashing' has only one model.\n"
        "To use --model, set SEMLOOP_EMBEDDER to endpoint or sentence-transformers.\n"
    )
    assert current_generation(remembered) == 1


@pytest.fixture
def endpoint(
    remembered: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AnEndpoint]:
    """An embedding server that the commands of the test use."""
    with an_endpoint(good) as server:
        monkeypatch.setenv("SEMLOOP_EMBEDDER", "endpoint")
        monkeypatch.setenv("SEMLOOP_EMBEDDER_URL", server.url)
        yield server


def test_reindex_uses_another_model_and_reports_the_setting(
    remembered: Settings, endpoint: AnEndpoint, semloop: Semloop
) -> None:
    code, out, err = semloop.run("maintain", "reindex")
    assert (code, out) == (1, "")
    assert "'embedder_model'" in err
    code, out, _ = semloop.run("maintain", "reindex", "--model", "big")
    assert code == 0
    assert "model: endpoint/big," in out
    last = "Set SEMLOOP_EMBEDDER_MODEL=big for all flows and readers as well."
    assert out.splitlines()[-1] == last
    assert {row["model"] for row in memories_by_id(remembered).values()} == {
        "endpoint/big"
    }


def test_reindex_reports_an_unavailable_endpoint(
    remembered: Settings,
    endpoint: AnEndpoint,
    semloop: Semloop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_pause = tenacity.wait_none()
    monkeypatch.setattr(endpoint_module, "GROWING_PAUSE", no_pause)
    monkeypatch.setenv("SEMLOOP_EMBEDDER_URL", "http://127.0.0.1:1/v1")
    code, out, err = semloop.run("maintain", "reindex", "--model", "big")
    assert (code, out, err.count("\n")) == (1, "", 2)
    assert err.startswith("The embedding endpoint is not available")
    # The endpoint becomes unavailable during the run.
    monkeypatch.setenv("SEMLOOP_EMBEDDER_URL", endpoint.url)
    monkeypatch.setenv("SEMLOOP_EMBEDDER_RETRY_S", "0.1")
    endpoint.answer = lambda texts, number: good(texts) if number == 1 else None
    code, out, err = semloop.run("maintain", "reindex", "--model", "big")
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert err.splitlines()[-2].startswith("The embedding endpoint is not available")
    assert current_generation(remembered) == 1


@pytest.mark.process
def test_ctrl_c_ends_reindex_immediately_and_the_next_run_finishes(
    remembered: Settings, endpoint: AnEndpoint, semloop: Semloop
) -> None:
    requested, released = threading.Event(), threading.Event()

    def slow(texts: list[str], number: int) -> tuple[int, dict[str, str], bytes]:
        if number > 1:
            requested.set()
            released.wait(60)
        return good(texts)

    endpoint.answer = slow
    process = processes.start(remembered, "maintain", "reindex", "--model", "big", SEMLOOP_EMBEDDER="endpoint")  # fmt: skip
    try:
        wait_for("a request to the endpoint", requested.is_set)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        released.set()
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert current_generation(remembered) == 1
    endpoint.answer = good
    code, out, _ = semloop.run("maintain", "reindex", "--model", "big")
    assert code == 0
    assert "Generation 2 is now current" in out


def test_compact_says_what_it_replaced(settings: Settings, semloop: Semloop) -> None:
    storage = Storage.of(settings)
    table = EventsTable(storage)
    for offset in range(3):
        table.commit((0, offset))
    table.now += timedelta(days=1)
    table.commit((0, 3))
    assert semloop.run("maintain", "compact")[:2] == (0, "Replaced 3 files by 1.\n")
    nothing = f"No files of the lake {settings.lake} are to be merged.\n"
    assert semloop.run("maintain", "compact")[:2] == (0, nothing)
    assert len(storage.open("events").file_uris()) == 2


@pytest.mark.process
def test_a_compaction_without_work_starts_no_engine(settings: Settings) -> None:
    table = EventsTable(Storage.of(settings))
    table.commit((0, 0))
    process = processes.start(settings, "maintain", "compact", PYTHONVERBOSE="1")
    out, err = process.communicate(timeout=60)
    nothing = f"No files of the lake {settings.lake} are to be merged.\n"
    assert (process.returncode, out) == (0, nothing)
    assert "import 'deltalake'" in err
    assert "import 'duckdb'" not in err
    assert "import 'bytewax'" not in err


def test_compact_fails_after_the_merges_that_it_can_do(
    settings: Settings, semloop: Semloop
) -> None:
    storage = Storage.of(settings)
    table = EventsTable(storage)
    for offset in range(4):
        table.now += timedelta(days=int(offset == 2))
        table.commit((0, offset))
    table.now += timedelta(days=1)
    table.commit((0, 4))
    damaged = table.files()[0]
    damaged.write_bytes(b"")
    code, out, err = semloop.run("maintain", "compact")
    assert (code, out) == (1, "Replaced 2 files by 1.\n")
    assert damaged.parent.name.removeprefix("date=") in err
    assert err.splitlines()[-2:] == [
        "Compaction failed for 1 dates of tables.",
        "See the errors above; all other dates are done.",
    ]


@pytest.mark.process
def test_compact_repeats_until_it_is_stopped(settings: Settings) -> None:
    table = EventsTable(Storage.of(settings))
    process = processes.start(settings, "maintain", "compact", "--every", "1")

    def is_merged(files: int) -> bool:
        return len(table.storage.open("events").file_uris()) == files

    try:
        for round_ in range(2):
            for offset in range(10):
                table.commit((0, 10 * round_ + offset))
            wait_for("a compaction", partial(is_merged, round_ + 1))
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    finally:
        process.kill()
        process.communicate()
