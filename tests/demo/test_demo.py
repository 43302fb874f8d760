"""A complete demo: audit, query results, and commands to try next."""

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.command.demo.agents import PEOPLE
from semloop.command.demo.answers import NEXT, QUESTIONS
from semloop.command.demo.broken import broken_records
from semloop.kafka.clients import DEFAULT_ADDRESS
from semloop.lake.lake import Lake
from tests.demo.shell import Shell
from tests.support.processes import ROOT

pytestmark = pytest.mark.process

Shown = tuple[Shell, str, str]


def test_the_demo_shows_that_no_event_is_lost_or_duplicated(shown: Shown) -> None:
    shell, out, err = shown
    sent = re.search(r"events: ([\d,]+); from a faulty producer: 15 records", out)
    assert sent is not None
    events = int(sent[1].replace(",", "")) + 2
    assert 1_000 <= events <= 1_050
    dead = len(broken_records())
    counts = f"Sent: {events:,} events, {dead} invalid records, 1 duplicate."
    assert f"{counts}\nStored: {events:,} rows, {dead} dead letters:" in out
    assert "nothing lost, nothing duplicated" in out
    # Progress in a pipe is a few lines.
    assert f"in the lake {events + dead:,} of {events + dead:,}" in err
    assert len(err.splitlines()) <= 4
    with Lake(shell.lake) as lake:
        found = lake.sql("SELECT count(*), count(DISTINCT event_id) FROM events")
        assert found.fetchall() == [(events, events)]
        letters = lake.sql("SELECT count(*), count(DISTINCT reason) FROM dead_letters")
        assert letters.fetchall() == [(dead, 8)]


def test_the_demo_leaves_no_process_running(shown: Shown) -> None:
    assert shown[0].running() == []


def test_each_question_is_printed_with_its_sql_and_result(shown: Shown) -> None:
    out = shown[1]
    answers = out.split("nothing lost")[1].split("Try next")[0]
    session = re.search(r"session ([a-z]+-\d{4})\?", answers)
    assert session is not None
    for question in QUESTIONS:
        assert question.text.format(session=session[1]) in answers
        after = answers.split(question.sql.format(session=session[1]))[1]
        rows = re.search(r"^(\d+) rows?$", after, re.MULTILINE)
        assert rows is not None
        assert int(rows[1]) >= 3
    # The results are tables, which are printed row by row if they are too wide.
    assert "-- row" not in answers


def test_the_output_fits_in_80_columns(shown: Shown) -> None:
    _, out, err = shown
    too_long = [
        line
        for line in (out + err).splitlines()
        if len(line) > 80 and "The lake " not in line
    ]
    assert too_long == []


def test_private_content_is_redacted_in_events_and_dead_letters(shown: Shown) -> None:
    shell, out, _ = shown
    for kind in ("email", "card", "iban"):
        assert f"<{kind}:" in out
    private = {text for p in PEOPLE for text in (p.email, p.phone, p.card, p.iban)}
    with Lake(shell.lake) as lake:
        for column, table in (("payload || text", "events"), ("raw", "dead_letters")):
            stored = lake.sql(f"SELECT {column} FROM {table}").fetchall()
            everything = " ".join(str(value) for (value,) in stored)
            assert [text for text in private if text in everything] == []


def test_agents_fall_back_to_other_tools_and_their_sessions_are_interleaved(
    shown: Shown,
) -> None:
    with Lake(shown[0].lake) as lake:
        helped = lake.sql(QUESTIONS[0].sql).fetchall()
        assert all(row[2] > 0 and row[4] for row in helped[:4])
        outcomes = lake.sql("SELECT DISTINCT outcome FROM events").fetchall()
        assert {("success",), ("failure",)} <= set(outcomes)
        interleaved = lake.sql(
            "SELECT count(*) FROM (SELECT session_id, lag(session_id) OVER"
            " (PARTITION BY kafka_partition, agent ORDER BY kafka_offset) AS before,"
            " min(kafka_offset) OVER (PARTITION BY session_id) AS first, kafka_offset"
            " FROM events) WHERE before != session_id AND first < kafka_offset"
        ).fetchall()
        assert interleaved[0][0] > 10
        kinds = lake.sql("SELECT count(DISTINCT type) FROM events").fetchall()
        assert kinds == [(6,)]


@pytest.mark.parametrize("number", range(len(NEXT)))
def test_each_command_to_try_next_works_unchanged(shown: Shown, number: int) -> None:
    shell, out, _ = shown
    lines = [s.strip() for s in out.splitlines() if s.startswith("  SEMLOOP_LAKE=")]
    assert len(lines) == len(NEXT)
    python = f"{shlex.quote(sys.executable)} -P -m semloop"
    done = subprocess.run(
        re.sub(r" semloop\b", f" {python}", lines[number], count=1),
        shell=True,
        cwd=shell.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input="SELECT 'from a shell';",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


# Settings of a user, with which no demo could run.
TOML = """
kafka = "127.0.0.1:1"
lake = "mine"
topic = "mine"
spool = "spool"
metrics_port = 1
redaction_key = "a key of the user, long enough"
dedupe_ids = 0
event_bytes_max = 10
[sample]
'*' = 0.0
"""
VARIABLES = {
    "SEMLOOP_KAFKA": "127.0.0.1:1",
    "SEMLOOP_LAKE": "s3://mine",
    "SEMLOOP_SAMPLE": '{"*": 0}',
    "SEMLOOP_KAFKA_SECURITY": "sasl_ssl",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a user with settings, and what a terminal there shows of a demo."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "semloop.toml").write_text(TOML)
    return folder, on_a_terminal(folder, "demo", "--events", "20", **VARIABLES)


def test_on_a_terminal_the_demo_shows_bars_and_colors(seen: tuple[Path, str]) -> None:
    _, output = seen
    assert "in the lake \x1b[" in output
    assert "\x1b[2mSELECT" in output


def test_a_demo_does_not_touch_the_lake_and_spool_of_the_user(
    seen: tuple[Path, str],
) -> None:
    folder, output = seen
    assert "nothing lost, nothing duplicated" in output
    assert f"Kafka at {DEFAULT_ADDRESS}" not in output
    assert sorted(os.listdir(folder)) == ["semloop-demo", "semloop.toml"]


def on_a_terminal(folder: Path, *arguments: str, **variables: str) -> str:
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(folder)
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
        command = [sys.executable, "-P", "-m", "semloop", *arguments]
        os.execve(sys.executable, command, environ | variables)
    output = b""
    try:
        while part := os.read(descriptor, 65_536):
            output += part
    except OSError:  # on Linux: the other end is closed
        pass
    os.close(descriptor)
    assert os.waitpid(pid, 0)[1] == 0
    return output.decode()
