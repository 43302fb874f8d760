"""The commands on a broker with TLS and logins, each a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from semloop import Lake
from semloop.settings import Settings, load
from tests.builders import an_event, raw
from tests.conftest import a_topic
from tests.kafka.secure_broker import (
    KEY_PASSWORD,
    PASSWORD,
    Made,
    Secure,
    set_password,
)
from tests.processes import environment, run, start
from tests.services import wait_for

AGENT = """
from semloop import Agent
agent = Agent("tester", strict=True)
with agent.session() as s:
    s.message("user", "hello")
assert agent.flush(30)
"""

pytestmark = pytest.mark.real_broker


@pytest.fixture
def outside(secure: Secure, tmp_path: Path) -> Settings:
    """A lake and a topic of the test's own; how to get in is said by variables."""
    return load({}, lake=str(tmp_path / "lake"), topic=a_topic())


def variables(secure: Secure, listener: str, **more: str) -> Made:
    return {
        "SEMLOOP_KAFKA": getattr(secure, listener),
        "SEMLOOP_KAFKA_CA": f"{secure.folder}/ca.pem",
    } | {f"SEMLOOP_KAFKA_{name.upper()}": value for name, value in more.items()}


def secrets_in(folder: Path) -> list[str]:
    """Files of a folder that hold a password."""
    hidden = (PASSWORD.encode(), KEY_PASSWORD.encode())
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    return [str(f) for f in files if any(secret in f.read_bytes() for secret in hidden)]


def run_agent(
    settings: Settings, spool: Path, agent: str = AGENT, **variables: str
) -> str:
    """An agent with the variables of the commands; what it said."""
    done = subprocess.run(
        [sys.executable, "-c", agent],
        env=environment(settings, SEMLOOP_SPOOL=str(spool), **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_everything_works_by_certificate(
    secure: Secure, outside: Settings, tmp_path: Path
) -> None:
    environ = variables(
        secure,
        "mutual",
        certificate=f"{secure.folder}/client.crt",
        key=f"{secure.folder}/client.locked.key",
        key_password=KEY_PASSWORD,
    )
    said = run_agent(outside, tmp_path / "spool", **environ)
    for line in (
        "import - --format events",
        "run archive --until-caught-up",
        "status --format json",
        "health",
    ):
        done = run(outside, *line.split(), stdin=raw(an_event()).decode(), **environ)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        said += done.stdout + done.stderr
    with Lake(outside.lake) as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(2,)]
    assert KEY_PASSWORD not in said
    assert secrets_in(Path(outside.lake)) == []


def test_everything_works_by_password(
    secure: Secure, outside: Settings, tmp_path: Path
) -> None:
    """With the settings in `semloop.toml`, which what `up` starts has to find too."""
    found = variables(secure, "login", user="bob", password=PASSWORD)
    lines = [f"{k.removeprefix('SEMLOOP_').lower()} = {json.dumps(v)}" for k, v in found.items()]  # fmt: skip
    (tmp_path / "semloop.toml").write_text("\n".join(lines))
    said, commands = "", ""
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
                commands = command_lines(outside)
            done = run(outside, *line.split(), stdin=raw(an_event()).decode())
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
            said += done.stdout + done.stderr
    finally:
        run(outside, "down", "--force")
    said += run_agent(outside, tmp_path / "spool")
    with Lake(outside.lake) as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(1,)]
    assert "archive" in commands
    assert PASSWORD not in said + commands
    assert secrets_in(Path(outside.lake)) == []


def command_lines(settings: Settings) -> str:
    """What `ps` shows of the running stack."""
    stack = Path(settings.lake, "_local", "stack.json").read_bytes()
    assert PASSWORD.encode() not in stack
    above = psutil.Process(json.loads(stack)["pid"])
    return str([process.cmdline() for process in (above, *above.children(True))])


def test_a_refusal_is_seen_by_every_command(
    secure: Secure, outside: Settings, tmp_path: Path
) -> None:
    environ = variables(secure, "login", user="bob", password="wrong")
    refused = "refuses the user 'bob': wrong user or password."
    (tmp_path / "events").touch()
    lines = ("import events --format events", "run archive", "up", "status", "health")
    processes = {line: start(outside, *line.split(), **environ) for line in lines}
    for line, process in processes.items():
        said, complained = process.communicate(timeout=60)
        assert process.returncode == (0 if line == "status" else 1), line
        if line in ("status", "health"):
            assert refused in said, line
        else:
            assert refused in complained.splitlines()[-2], line
            assert said == "", line
    # An agent is not disturbed: it keeps its events, and says why.
    agent = AGENT.replace(", strict=True", "").replace("assert agent.flush(30)", "")
    spool = tmp_path / "spool"
    said = run_agent(outside, spool, agent, SEMLOOP_AGENT_FLUSH_S="2", **environ)
    assert refused in said
    assert len(list(spool.glob("*.jsonl"))) == 1


def test_a_password_that_changes_ends_the_flow_with_its_reason(
    secure: Secure, outside: Settings
) -> None:
    """The listener asks for the password again and again, as brokers may."""
    environ = variables(secure, "login", user="eve", password=PASSWORD)
    environ["SEMLOOP_FENCE_CHECK_S"] = "0.2"
    done = run(outside, "import", "-", "--format", "events", stdin="{}", **environ)
    assert done.returncode == 0, done.stderr
    flow = start(outside, "run", "archive", **environ)
    try:
        wait_for("the flow to read", lambda: dead_letters(outside) == 1)
        set_password(secure.plaintext, "eve", "another one")
        _, said = flow.communicate(timeout=60)
    finally:
        flow.kill()
        set_password(secure.plaintext, "eve", PASSWORD)
    assert flow.returncode == 1, said
    assert "refuses the user 'eve': wrong user or password.\n" in said
    assert "Traceback" not in said


def dead_letters(settings: Settings) -> int:
    if not os.path.isdir(settings.lake):
        return 0
    with Lake(settings.lake) as lake:
        [(count,)] = lake.sql("SELECT count(*) FROM dead_letters").fetchall()
    return int(count)
