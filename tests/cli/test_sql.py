import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import typer
from deltalake import write_deltalake
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from typer.testing import CliRunner, Result

from schemas import arrow
from semloop import Lake, layout
from semloop.command.cli.sql import HISTORY_FILE, SqlFormat, completions, sql
from semloop.errors import ConfigError, LakeError, SemLoopError
from semloop.settings import LOCAL_FOLDER, Settings
from semloop.storage.location import Storage
from tests.support.processes import ROOT

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lake"
    row = {
        "event_id": "e1", "type": "message", "ts": NOON, "agent": "booker",
        "ingested_at": NOON, "date": NOON.date(),
    }  # fmt: skip
    table = pa.Table.from_pylist([row], schema=arrow.EVENTS)
    folder.mkdir()
    write_deltalake(str(folder / "events"), table, partition_by=["date"])
    layout.bind(Storage.of(Settings().replace(lake=str(folder))))
    monkeypatch.setenv("SEMLOOP_LAKE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def run(*arguments: str, stdin: str = "") -> Result:
    app = typer.Typer()
    app.command("sql")(sql)
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_a_query_prints_a_table() -> None:
    result = run("SELECT agent, count(*) AS n FROM events GROUP BY ALL")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert lines[0] == ["agent", "n"]
    assert lines[2:] == [["booker", "1"], ["1", "row"]]


def test_json_goes_to_stdout_alone() -> None:
    result = run("SELECT event_id, ts FROM events", "--format", "json")
    assert json.loads(result.stdout) == [{"event_id": "e1", "ts": NOON.isoformat()}]
    assert result.stderr == ""


def test_csv_goes_to_stdout_alone() -> None:
    result = run("SELECT event_id, tags FROM events", "--format", "csv")
    assert result.stdout == "event_id,tags\ne1,\n"


def test_a_result_of_several_batches_is_complete_and_in_order() -> None:
    result = run("SELECT range AS n FROM range(5001)", "--format", "csv")
    assert result.stdout.split() == ["n", *map(str, range(5001))]


def test_the_query_is_read_from_stdin() -> None:
    result = run("--format", "json", stdin="SELECT 1 AS a;\nSELECT 2 AS b;\n")
    assert json.loads(result.stdout) == [{"b": 2}]


def test_an_empty_query_is_refused() -> None:
    with pytest.raises(ConfigError, match="The query is empty"):
        raise_error_of(run(stdin=" \n"))


def raise_error_of(result: Result) -> None:
    assert result.exception is not None
    raise result.exception


@pytest.mark.parametrize(
    ("query", "what", "todo"),
    [
        pytest.param(
            "SELEC 1",
            'Parser Error: syntax error at or near "SELEC"\nLINE 1: SELEC 1\n        ^',
            "List the views with .tables in `semloop sql`.",
            id="syntax",
        ),
        pytest.param(
            "SELECT agnt FROM (SELECT 1 AS agent)",
            'Binder Error: Referenced column "agnt" not found in FROM clause!\n'
            'Candidate bindings: "agent"\n'
            "LINE 1: SELECT agnt FROM (SELECT 1 AS agent)\n"
            "               ^",
            "",
            id="unknown column",
        ),
        pytest.param(
            "SELECT error(agent || ' fails') FROM events",
            "Invalid Input Error: booker fails",
            "List the views with .tables in `semloop sql`.",
            id="at run time",
        ),
    ],
)
def test_an_error_of_duckdb_is_printed_whole(query: str, what: str, todo: str) -> None:
    result = run(query, "--format", "json")
    assert result.stdout == ""
    assert isinstance(result.exception, ConfigError)
    assert (result.exception.what, result.exception.todo) == (what, todo)


@pytest.mark.parametrize("damage", ["log", "file"])
def test_sql_reports_a_damaged_lake(lake: Path, damage: str) -> None:
    if damage == "log":
        entry = next((lake / "events" / "_delta_log").glob("*0.json"))
        entry.write_bytes(entry.read_bytes()[:100])
    else:
        next((lake / "events").glob("date=*/*.parquet")).unlink()
    result = run("SELECT agent FROM events")
    assert result.stdout == ""
    assert isinstance(result.exception, SemLoopError)
    assert "`semloop maintain check`" in result.exception.todo
    assert "clone3" not in result.exception.what


def test_sql_reports_a_missing_lake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", "/nowhere")
    with pytest.raises(LakeError, match="There is no lake at /nowhere"):
        raise_error_of(run("SELECT 1"))


def test_a_parquet_file_is_replaced_atomically(tmp_path: Path) -> None:
    file = tmp_path / "o'k.parquet"
    assert run("FROM events", "--output", str(file)).exit_code == 0
    found = duckdb.read_parquet(str(file))
    assert found.columns[:3] == ["event_id", "type", "ts"]
    assert found.fetchall()[0][2] == NOON
    failed = run("SELECT error('no') FROM events", "--output", str(file))
    assert isinstance(failed.exception, ConfigError)
    assert duckdb.read_parquet(str(file)).fetchall()[0][0] == "e1"
    assert [f.name for f in tmp_path.iterdir()] in (
        [file.name, "lake"], ["lake", file.name],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "a\n1\n"), ("a.json", '[\n{"a": 1}\n]\n')]
)
def test_the_suffix_selects_the_format(tmp_path: Path, name: str, content: str) -> None:
    run("SELECT 1 AS a", "--output", name)
    assert (tmp_path / name).read_text() == content


def test_sql_reports_an_output_that_cannot_be_written() -> None:
    for name in ("/nowhere/a.csv", "/nowhere/a.parquet"):
        with pytest.raises(ConfigError, match="/nowhere/"):
            raise_error_of(run("SELECT 1", "--output", name))


@pytest.mark.process
def test_parquet_is_written_to_a_pipe_but_not_to_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import typer; from semloop.command.cli.sql import sql; typer.run(sql)"
    done = subprocess.run(
        [sys.executable, "-c", code, "FROM events", "--format", "parquet"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    (tmp_path / "piped").write_bytes(done.stdout)
    assert len(duckdb.read_parquet(str(tmp_path / "piped"))) == 1
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(ConfigError, match="cannot be printed to a terminal"):
        sql(query="FROM events", form=SqlFormat.PARQUET)
    assert terminal.getvalue() == ""


def test_print_init_lets_a_plain_duckdb_open_the_lake() -> None:
    script = run("--print-init").stdout
    # With signatures, which take a second, `tests/semloop/test_lake.py` does the same.
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as plain:
        plain.execute(script)
        assert plain.sql("SELECT event_id FROM events").fetchall() == [("e1",)]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[PipeInput]:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    with (
        create_pipe_input() as pipe,
        create_app_session(input=pipe, output=DummyOutput()),
    ):
        yield pipe


def test_the_shell_runs_a_query_of_several_lines(
    keys: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.send_text("SELECT agent\rFROM events;\r.quit\r")
    sql(query=None)
    assert "booker" in capsys.readouterr().out


def test_the_shell_continues_after_an_error(
    keys: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.send_text("SELEC 1;\rSELECT 40 + 2;\r.quit\r")
    sql(query=None)
    out, err = capsys.readouterr()
    assert err.startswith(
        'Parser Error: syntax error at or near "SELEC"\nLINE 1: SELEC 1;\n'
    )
    assert "42" in out


def test_the_shell_lists_views_and_prints_help(
    keys: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.send_text(".tables\r.help\r.quit\r")
    sql(query=None)
    out = capsys.readouterr().out
    assert "dead_letters" in out
    assert "What happened?" in out
    assert "End a query with ;" in out


def test_ctrl_c_clears_the_input_and_ctrl_d_exits_the_shell(
    keys: PipeInput, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.send_text("SELECT 'never'\x03SELECT 'now';\r\x04")
    sql(query=None)
    out = capsys.readouterr().out
    assert "now" in out
    assert "never" not in out


@pytest.mark.parametrize("statement", ["{}", "CREATE TABLE t AS {}"])
def test_ctrl_c_interrupts_a_query_and_the_shell_continues(
    keys: PipeInput,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
) -> None:
    endless = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(1000000) b"
    keys.send_text(f"{statement.format(endless)};\rSELECT 40 + 2;\r.quit\r")
    started, original = threading.Event(), Lake.sql

    def observed_sql(lake: Lake, query: str, *more: Any) -> Any:
        started.set()
        return original(lake, query, *more)

    def interrupt() -> None:
        assert started.wait(60)
        # Wait until DuckDB runs the query; before that, Ctrl-C clears the input.
        threading.Event().wait(1.0)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Lake, "sql", observed_sql)
    threading.Thread(target=interrupt).start()
    sql(query=None)
    out, err = capsys.readouterr()
    assert err == "Interrupted.\n"
    assert "42" in out


def test_only_the_user_can_read_the_history_of_the_shell(
    keys: PipeInput, lake: Path
) -> None:
    keys.send_text("SELECT 7;\r\x04")
    sql(query=None)
    file = lake / LOCAL_FOLDER / HISTORY_FILE
    assert "SELECT 7;" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_the_shell_completes_keywords_views_and_columns(lake: Path) -> None:
    with Lake(lake) as opened:
        words = completions(opened.connection)
    assert {"SELECT", "dead_letters", "kafka_offset"} <= set(words)
    assert not {"duckdb_views", "pg_class"} & set(words)
