"""The local stack end to end: real processes and the embedded broker."""

import json
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from semloop.command.stack.process import Process
from semloop.command.stack.state import Stack
from semloop.flow_registry import STREAMING
from semloop.kafka.clients import DEFAULT_ADDRESS
from tests.cli.shell import Shell, gone, wait_for_end
from tests.support.builders import an_event
from tests.support.services import wait_for

pytestmark = pytest.mark.process

PROCESSES = len(["supervisor", "broker", *STREAMING])
SQL = "SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM events"


def test_a_file_imported_twice_is_in_the_lake_once(shell: Shell) -> None:
    shell.write_events(50)
    output = shell.run("up")
    assert shell.stack().kafka in output
    assert len(shell.processes()) == PROCESSES
    assert "Lines read: 50, records produced: 50." in shell.import_()
    shell.run("run", "archive", "--until-caught-up")
    assert shell.json("sql", SQL) == [{"n": 50, "ids": 50}]
    shell.import_()
    shell.run("run", "archive", "--until-caught-up")
    assert shell.json("sql", SQL) == [{"n": 50, "ids": 50}]

    status = shell.json("status")
    assert status["kafka"]["reachable"] is True
    assert status["kafka"]["embedded"] is True
    assert status["kafka"]["partitions"] == 4
    assert status["lake"]["tables"]["events"]["rows"] == 50
    flow = status["flows"]["archive"]
    assert (flow["state"], flow["lag"], flow["freshness_s"]) == ("running", 0, 0.0)
    assert sum(at["end"] for at in flow["partitions"]) == 100
    assert "ok    flow archive runs" in shell.run("health")
    assert ", caught up" in shell.run("status")

    processes = shell.processes()
    assert "Everything is in the lake" in shell.run("down")
    assert gone(processes)
    assert shell.local.read() is None
    assert shell.json("sql", SQL) == [{"n": 50, "ids": 50}]
    assert shell.json("status")["kafka"]["reachable"] is False


def test_import_and_missing_lakes_are_reported_with_a_broker_alone(
    shell: Shell,
) -> None:
    shell.run("up", "--broker-only")
    check_invalid_lines(shell)
    check_file_without_an_event(shell)
    check_folder_without_a_lake(shell)


def check_invalid_lines(shell: Shell) -> None:
    long = '{"text": "' + "x" * (4 * 2**20) + '"}'
    lines = ["nonsense\n", '{"a": 1}', long, json.dumps(an_event("message")), ""]
    (shell.folder / "bad.jsonl").write_text("\n".join(lines))
    output = shell.run("import", "bad.jsonl", "--format", "events", code=1)
    assert (
        "Lines read: 5, records produced: 3, lines that become dead letters: 2"
        in output
    )
    assert "too long for a message, not produced: 4." in output


def check_file_without_an_event(shell: Shell) -> None:
    (shell.folder / "bad.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    output = shell.run("import", "bad.jsonl", "--format", "events", code=1)
    assert "No value of 'bad.jsonl' is an event.\nNothing was sent." in output


def check_folder_without_a_lake(shell: Shell) -> None:
    elsewhere = str(shell.folder / "elsewhere")
    for line in ("sql SELECT", "show s-1", "dlq ls", "tail --no-follow"):
        output = shell.run(*line.split(), code=1, SEMLOOP_LAKE=elsewhere)
        assert output.startswith(f"There is no lake at {elsewhere}.\n")
    assert "elsewhere has no tables yet" in shell.run("status", SEMLOOP_LAKE=elsewhere)
    assert not Path(elsewhere).exists()


def test_status_run_and_down_follow_the_progress_of_the_flows(shell: Shell) -> None:
    shell.write_events(30)
    shell.run("up")
    archive, flow = (shell.stack().flows[n].process() for n in ("archive", "memory"))
    assert archive is not None
    assert flow is not None
    os.kill(flow.pid, signal.SIGSTOP)
    shell.import_()
    shell.run("run", "archive", "--until-caught-up")
    behind = shell.json("status")["flows"]["memory"]
    assert (behind["state"], behind["lag"]) == ("running", 30)
    assert sum(at["lag"] for at in behind["partitions"]) == 30

    with shell.start("run", "memory", "--until-caught-up") as waiting:
        os.kill(flow.pid, signal.SIGCONT)
        assert waiting.communicate(timeout=90) == ("", "")
        assert waiting.returncode == 0
    remembered = "SELECT count(*) AS n FROM memories"
    assert shell.json("sql", remembered) == [{"n": 30}]
    assert shell.json("status")["flows"]["memory"]["lag"] == 0

    # `down` waits for archive, so that the lake has all records, but not for memory.
    for process in (archive, flow):
        os.kill(process.pid, signal.SIGSTOP)
    shell.import_()
    output = shell.run("down", "--timeout", "0.5", code=1)
    assert "Not in the lake yet: 30 records" in output
    assert len(shell.processes()) == PROCESSES
    os.kill(archive.pid, signal.SIGCONT)
    shell.run("run", "archive", "--until-caught-up")
    output = shell.run("down", "--timeout", "3")
    assert "Everything is in the lake" in output
    assert "memory is 30 offsets behind; the next start resumes." in output
    assert shell.json("sql", SQL) == [{"n": 30, "ids": 30}]


def test_down_without_archive_needs_force_if_not_all_is_in_the_lake(
    shell: Shell,
) -> None:
    shell.write_events(3)
    shell.run("up", "--broker-only")
    shell.import_()
    assert "Not in the lake yet: 3 records" in shell.run("down", code=1)
    assert shell.json("status")["flows"]["archive"]["lag"] == 3
    shell.run("run", "archive", "--until-caught-up")
    shell.import_()
    assert "3 records are in the broker's log" in shell.run("down", "--force")
    assert shell.json("sql", SQL) == [{"n": 3, "ids": 3}]
    shell.run("up")
    shell.run("down")
    assert shell.json("sql", SQL) == [{"n": 3, "ids": 3}]


def test_a_flow_is_restarted_after_its_death_but_not_after_a_take_over(
    shell: Shell,
) -> None:
    shell.write_events(20)
    shell.run("up")
    before = shell.stack().flows["archive"]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    def restarted() -> bool:
        flow = shell.stack().flows["archive"]
        return flow.state == "running" and flow.restarts == 1

    wait_for("the restart", restarted)
    assert shell.stack().flows["archive"].exit_code == -signal.SIGKILL
    shell.import_()
    shell.run("run", "archive", "--until-caught-up")
    assert shell.json("sql", SQL) == [{"n": 20, "ids": 20}]

    kafka = shell.stack().kafka
    with shell.start("run", "archive", "--supervised", SEMLOOP_KAFKA=kafka) as newer:
        try:
            wait_for(
                "the take-over",
                lambda: shell.stack().flows["archive"].state == "stopped",
            )
        finally:
            newer.kill()
            newer.communicate()
    assert shell.stack().flows["archive"].exit_code == 3
    assert "A newer copy took over its tables" in shell.run("health", code=1)


def test_without_the_key_of_the_lake_archive_is_not_restarted_and_up_fails(
    shell: Shell,
) -> None:
    shell.run("up")
    flow = shell.stack().flows["archive"]
    assert flow.pid is not None
    (shell.lake / "_local" / "redaction.key").unlink()
    os.kill(flow.pid, signal.SIGKILL)
    wait_for(
        "the end of archive",
        lambda: shell.stack().flows["archive"].state == "stopped",
    )
    assert shell.stack().flows["archive"].exit_code == 3
    assert "is missing here. Restore" in shell.run("health", code=1)
    assert "Flow   archive: stopped" in shell.run("status")
    assert not (shell.lake / "_local" / "redaction.key").exists()
    shell.run("down")
    other = {"SEMLOOP_REDACTION_KEY": "another key of some length"}
    shown = shell.run("up", code=1, **other)
    assert "The redaction key is not the one of the lake" in shown
    assert shell.processes() == []


def test_a_broker_that_died_is_restarted_with_its_records(shell: Shell) -> None:
    shell.write_events(10)
    shell.run("up", "--broker-only")
    shell.import_()
    before = shell.stack()
    assert before.broker_pid is not None
    os.kill(before.broker_pid, signal.SIGKILL)
    wait_for(
        "a new broker",
        lambda: shell.stack().broker_pid not in (None, before.broker_pid),
    )
    assert shell.stack().kafka == before.kafka
    wait_for("the topic", lambda: shell.json("status")["kafka"]["partitions"] == 4)
    assert shell.stack().topic_id == before.topic_id
    shell.run("down", "--force")
    shell.run("up")
    shell.run("down")
    assert shell.json("sql", SQL) == [{"n": 10, "ids": 10}]


def test_up_and_down_stop_the_processes_that_a_killed_supervisor_left(
    shell: Shell,
) -> None:
    shell.run("up")
    for command, expected in (("up", PROCESSES), ("down", 0)):
        left = shell.processes()
        left[0].kill()
        # A killed process may have threads left, which hold its lock.
        wait_for("the end of the supervisor", lambda: not shell.local.is_locked())
        assert "left over by a crash" in shell.run("status"), command
        shell.run(command)
        # The system may still be freeing the memory of one.
        wait_for_end(left)
        wait_for(f"the processes after {command}", shell.has_processes(expected))


def test_a_reused_pid_of_another_process_is_ignored(shell: Shell) -> None:
    me = Process.of(os.getpid())
    shell.local.path.mkdir(parents=True)
    stale = Stack(
        me.pid, me.create_time - 60, "", "127.0.0.1:1", "agent-events", embedded=True,
        broker_pid=me.pid, broker_create_time=me.create_time - 60,
    )  # fmt: skip
    shell.local.write(stale)
    assert shell.local.orphans() == []
    assert "is not running" in shell.run("down", code=1)
    assert shell.local.read() is None


def test_a_second_stack_uses_another_port_and_is_not_started_twice(
    shell: Shell,
) -> None:
    host, _, port = DEFAULT_ADDRESS.rpartition(":")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def bind() -> bool:
            # Connections of an earlier test's broker may still be closing.
            with suppress(OSError):
                other.bind((host, int(port)))
                return True
            return False

        wait_for("the port", bind)
        other.listen()
        output = shell.run("up")
    kafka = shell.stack().kafka
    assert kafka != DEFAULT_ADDRESS
    assert f"Port {port} is in use." in output
    assert f"export SEMLOOP_KAFKA={kafka}" in output
    # Commands in this folder read the address from the lake.
    shell.write_events(3)
    assert "records produced: 3." in shell.import_()

    stack = shell.stack()
    assert f"with Kafka at {kafka}" in shell.run("up", code=1)
    assert "semloop down" in shell.run("run", "archive", code=1)
    assert shell.stack() == stack


def test_up_reports_a_flow_that_fails_to_start_and_stops_all(shell: Shell) -> None:
    output = shell.run("up", code=1, SEMLOOP_REDACTION_KEY="short")
    assert "SEMLOOP_REDACTION_KEY is shorter than 16 characters." in output
    assert shell.processes() == []
    assert shell.local.read() is None


def test_purge_deletes_the_lake_but_no_other_files(shell: Shell) -> None:
    shell.write_events(5)
    shell.run("up", "--broker-only")
    shell.import_()
    shell.run("run", "archive", "--until-caught-up")
    (shell.lake / "notes.txt").touch()
    (shell.lake / "artifacts/2026/11/28").mkdir(parents=True)
    assert "needs a confirmation" in shell.run("down", "--purge", code=1)
    processes = shell.processes()
    assert "kept: notes.txt" in shell.run("down", "--purge", "--force")
    assert gone(processes)
    assert [file.name for file in shell.lake.iterdir()] == ["notes.txt"]
