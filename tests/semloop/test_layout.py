"""The binding of a lake to one layout, in folders and on S3."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from schemas import arrow
from semloop import Lake, layout, tables
from semloop.command.cli import health_report, status_report
from semloop.errors import LakeError, StorageUnavailable
from semloop.flow_registry import STREAMING
from semloop.settings import Settings
from semloop.storage.location import Storage
from semloop.tables import LAYOUT_FILE
from sinks.delta.create_table import create
from tests.sinks.sink_contract import full_disk
from tests.support import processes
from tests.support.lakes import local_settings
from tests.support.processes import ROOT

RACERS = 4


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest) -> Settings:
    """A lake without any files."""
    if request.param == "folder":
        return local_settings(request).replace(kafka="127.0.0.1:1")
    settings: Settings = request.getfixturevalue("s3_settings")
    return settings


def test_the_first_writer_binds_an_empty_lake(lake: Settings) -> None:
    storage = Storage.of(lake)
    layout.check(storage)
    assert storage.read(LAYOUT_FILE) is None  # check() does not write it
    layout.bind(storage)
    layout.bind(storage)
    layout.check(storage)
    content = storage.read(LAYOUT_FILE)
    assert content is not None
    assert json.loads(content) == {"layout": tables.LAYOUT_VERSION}
    if storage.on_s3:
        left = storage.objects.names()
    else:
        left = [path.name for path in Path(storage.root).iterdir()]
    assert left == [LAYOUT_FILE]


def test_a_lake_of_another_layout_is_refused_by_writers_and_readers(
    lake: Settings,
) -> None:
    storage = Storage.of(lake)
    assert storage.create(LAYOUT_FILE, b'{"layout": 7}')
    for refuse in (layout.bind, layout.check, lambda _: Lake(settings=lake)):
        with pytest.raises(LakeError) as error:
            refuse(storage)
        what = f"The lake {storage.root} has layout 7; this program supports 2 to 3."
        todo = "Install a newer semloop, or set SEMLOOP_LAKE to another lake."
        assert (error.value.what, error.value.todo) == (what, todo)
    assert status_report.status(lake)["lake"] == {
        "path": lake.lake, "readable": False, "problem": f"{what}\n{todo}", "tables": {},
        "not_running": None,
    }  # fmt: skip
    assert health_report.health(lake)["lake"]["checks"][0]["todo"] == f"{what} {todo}"
    assert storage.read(LAYOUT_FILE) == b'{"layout": 7}'


@pytest.mark.parametrize("with_file", [False, True])
def test_a_lake_of_layout_1_is_refused_with_advice(
    lake: Settings, *, with_file: bool
) -> None:
    storage = Storage.of(lake)
    create(storage, "events")
    DeltaTable.create(
        storage.uri("logs"), arrow.STREAMS, storage_options=storage.current_options
    )
    if with_file:
        storage.create(LAYOUT_FILE, b'{"layout": 1}')
    for refuse in (layout.check, layout.bind):
        with pytest.raises(
            LakeError, match="has layout 1; this program supports 2 to 3"
        ) as error:
            refuse(storage)
        todo = "Layout 1 cannot be upgraded: set SEMLOOP_LAKE to another lake."
        assert error.value.todo == todo


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"layout": "1"}', b"{}"])
def test_a_layout_file_without_a_layout_is_refused(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / LAYOUT_FILE).write_bytes(content)
    with pytest.raises(LakeError, match="contains no layout version"):
        layout.check(Storage(str(tmp_path)))


@pytest.mark.process
def test_one_of_two_concurrent_writers_with_different_layouts_wins(
    lake: Settings,
) -> None:
    code = (
        "import sys; from semloop import layout, tables\n"
        "from semloop.errors import LakeError\n"
        "from semloop.settings import load\n"
        "from semloop.storage.location import Storage\n"
        "tables.LAYOUT_VERSION = int(sys.argv[1])\n"
        "storage = Storage.of(load())\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: layout.bind(storage)\n"
        "except LakeError: print('refused')\n"
        "else: print('bound')\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(3 + 2 * (number % 2))],
            cwd=ROOT, env=processes.environment(lake),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(RACERS)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    printed = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * RACERS
    content = Storage.of(lake).read(LAYOUT_FILE)
    assert content is not None
    winner = json.loads(content)["layout"]
    expected = [
        "bound" if 3 + 2 * (n % 2) >= winner else "refused" for n in range(RACERS)
    ]
    assert printed == expected


def test_a_lake_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for refuse in (layout.bind, layout.check):
        with pytest.raises(LakeError) as error:
            refuse(Storage(str(tmp_path / "file")))
        what = f"Cannot read _layout.json in {tmp_path / 'file'}: Not a directory."
        assert error.value.what == what
    with full_disk(4), pytest.raises(StorageUnavailable, match="File too large"):
        layout.bind(Storage(str(tmp_path / "lake")))
    assert list((tmp_path / "lake").iterdir()) == []


@pytest.mark.parametrize("flow", STREAMING)
def test_a_flow_refuses_a_lake_of_another_layout(
    settings: Settings, topic: object, flow: str
) -> None:
    storage = Storage.of(settings)
    storage.create(LAYOUT_FILE, b'{"layout": 4}')
    result = processes.run(settings, "run", flow, "--until-caught-up")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-2:] == [
        f"The lake {settings.lake} has layout 4; this program supports 2 to 3.",
        "Install a newer semloop, or set SEMLOOP_LAKE to another lake.",
    ]
    assert not storage.has("events")
