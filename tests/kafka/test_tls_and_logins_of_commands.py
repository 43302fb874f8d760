"""Commands on a broker with TLS and logins."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from semloop import Lake
from semloop.settings import Settings, load
from tests.kafka.secure_broker import (
    KEY_PASSWORD,
    PASSWORD,
    Secure,
    SettingValues,
    set_password,
)
from tests.support.builders import an_event, raw
from tests.support.commands import execute
from tests.support.lakes import a_topic
from tests.support.processes import environment, run, start
from tests.support.services import wait_for
from tests.support.spools import unsent_texts

AGENT = """
from semloop import Agent
agent = Agent("tester", strict=True)
with agent.session() as s:
    s.message("user", "hello")
assert agent.flush(60)
"""
# An agent that ends once it has logged a refusal; its flush would wait to the end.
UNTIL_REFUSED = """
import logging, threading
from semloop import Agent
refused = threading.Event()
def notice(record):
    if "rejects" in record.getMessage():
        refused.set()
    return True
logging.basicConfig()
logging.root.handlers[0].addFilter(notice)
with Agent("tester").session() as s:
    s.message("user", "hello")
assert refused.wait(60)
"""

pytestmark = [pytest.mark.real_broker, pytest.mark.process]


@pytest.fixture
def unsecured(secure: Secure, tmp_path: Path) -> Settings:
    """A separate lake and topic; the tests set security by environment variables."""
    return load({}, lake=str(tmp_path / "lake"), topic=a_topic())


def variables(secure: Secure, listener: str, **more: str) -> SettingValues:
    return {
        "SEMLOOP_KAFKA": getattr(secure, listener),
        "SEMLOOP_KAFKA_CA": f"{secure.folder}/ca.pem",
    } | {f"SEMLOOP_KAFKA_{name.upper()}": value for name, value in more.items()}


def secrets_in(folder: Path) -> list[str]:
    """Return the files of a folder that contain a password."""
    hidden = (PASSWORD.encode(), KEY_PASSWORD.encode())
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    return [str(f) for f in files if any(secret in f.read_bytes() for secret in hidden)]


def run_agent(
    settings: Settings, spool: Path, agent: str = AGENT, **variables: str
) -> str:
    """Run an agent with the variables of the commands; return its output."""
    done = subprocess.run(
        [sys.executable, "-c", agent],
        env=environment(settings, SEMLOOP_SPOOL=str(spool), **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_all_commands_work_with_a_client_certificate(
    secure: Secure, unsecured: Settings, tmp_path: Path
) -> None:
    environ = variables(
        secure,
        "mutual",
        certificate=f"{secure.folder}/client.crt",
        key=f"{secure.folder}/client.locked.key",
        key_password=KEY_PASSWORD,
    )
    output = run_agent(unsecured, tmp_path / "spool", **environ)
    (tmp_path / "events").write_bytes(raw(an_event()))
    for line in (
        "import events --format events",
        "run archive --until-caught-up",
        "status --format json",
        "health",
    ):
        # A flow sets up its whole process; the others run in this one.
        if line.startswith("run"):
            done = run(unsecured, *line.split(), **environ)
            code, out, err = done.returncode, done.stdout, done.stderr
        else:
            code, out, err = execute(environment(unsecured, **environ), *line.split())
        assert code == 0, f"{line}: {out}{err}"
        output += out + err
    with Lake(unsecured.lake) as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(2,)]
    assert KEY_PASSWORD not in output
    assert secrets_in(Path(unsecured.lake)) == []


def test_all_commands_work_with_a_password(
    secure: Secure, unsecured: Settings, tmp_path: Path
) -> None:
    """The settings are in `semloop.toml`, which the processes of `up` must find too."""
    found = variables(secure, "login", user="bob", password=PASSWORD)
    lines = [f"{k.removeprefix('SEMLOOP_').lower()} = {json.dumps(v)}" for k, v in found.items()]  # fmt: skip
    (tmp_path / "semloop.toml").write_text("\n".join(lines))
    output, commands = "", ""
    try:
        for line in (
            "import - --format events",
            "up",
            "run archive --until-caught-up",
            "status --format json",
            "health",
            "down",
        ):
            if line == "health":
                commands = command_lines(unsecured)
            done = run(unsecured, *line.split(), stdin=raw(an_event()).decode())
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
            output += done.stdout + done.stderr
    finally:
        run(unsecured, "down", "--force")
    output += run_agent(unsecured, tmp_path / "spool")
    with Lake(unsecured.lake) as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(1,)]
    assert "archive" in commands
    assert PASSWORD not in output + commands
    assert secrets_in(Path(unsecured.lake)) == []


def command_lines(settings: Settings) -> str:
    """Return the command lines of the running stack, as `ps` shows them."""
    stack = Path(settings.lake, "_local", "stack.json").read_bytes()
    assert PASSWORD.encode() not in stack
    supervisor = psutil.Process(json.loads(stack)["pid"])
    return str(
        [process.cmdline() for process in (supervisor, *supervisor.children(True))]
    )


def test_every_command_reports_a_rejected_login(
    secure: Secure, unsecured: Settings, tmp_path: Path
) -> None:
    environ = variables(secure, "login", user="bob", password="wrong")
    rejected = "rejects the user 'bob': wrong user or password."
    (tmp_path / "events").write_bytes(raw(an_event()))
    lines = ("import events --format events", "run archive", "up", "status", "health")
    processes = {line: start(unsecured, *line.split(), **environ) for line in lines}
    for line, process in processes.items():
        out, err = process.communicate(timeout=60)
        assert process.returncode == (0 if line == "status" else 1), line
        if line in ("status", "health"):
            assert rejected in out, line
        else:
            assert rejected in err.splitlines()[-2], line
            assert out == "", line
    # An agent continues: its events stay in the spool, and it logs the reason.
    environ["SEMLOOP_AGENT_FLUSH_S"] = "0.5"
    spool = tmp_path / "spool"
    output = run_agent(unsecured, spool, UNTIL_REFUSED, **environ)
    assert rejected in output
    assert unsent_texts(spool) == ["hello"]


def test_a_flow_ends_with_the_reason_after_its_password_was_changed(
    secure: Secure, unsecured: Settings
) -> None:
    """The listener requires repeated authentication, as brokers may."""
    environ = variables(secure, "login", user="eve", password=PASSWORD)
    environ["SEMLOOP_FENCE_CHECK_S"] = "0.2"
    lines = json.dumps(an_event()) + "\n{}"
    done = run(unsecured, "import", "-", "--format", "events", stdin=lines, **environ)
    assert "records produced: 2," in done.stdout, done.stderr
    flow = start(unsecured, "run", "archive", **environ)
    try:
        wait_for("the flow to read", lambda: dead_letters(unsecured) == 1)
        set_password(secure.plaintext, "eve", "another one")
        _, output = flow.communicate(timeout=60)
    finally:
        flow.kill()
        set_password(secure.plaintext, "eve", PASSWORD)
    assert flow.returncode == 1, output
    assert "rejects the user 'eve': wrong user or password.\n" in output
    assert "Traceback" not in output


def dead_letters(settings: Settings) -> int:
    if not os.path.isdir(settings.lake):
        return 0
    with Lake(settings.lake) as lake:
        [(count,)] = lake.sql("SELECT count(*) FROM dead_letters").fetchall()
    return int(count)
