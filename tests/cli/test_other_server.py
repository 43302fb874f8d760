"""Another server has the port of the stack's broker."""

import os
import signal
from pathlib import Path

import pytest

from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings
from tests.cli.shell import Shell
from tests.support.services import EmbeddedBroker, wait_for

pytestmark = pytest.mark.process


def test_down_asks_no_other_server_at_the_address_of_the_broker(
    shell: Shell, tmp_path: Path
) -> None:
    shell.write_events(3)
    shell.run("up", "--broker-only")
    shell.import_()
    stack = shell.stack()
    assert stack.broker_pid is not None
    # The supervisor restarts nothing meanwhile.
    os.kill(stack.pid, signal.SIGSTOP)
    os.kill(stack.broker_pid, signal.SIGKILL)
    other = EmbeddedBroker(tmp_path / "other", stack.kafka)
    try:
        # Its empty topic says nothing about the records of the stack.
        TopicAdmin(Settings(kafka=stack.kafka)).ensure()
        output = shell.run("down", "--timeout", "0", code=1)
        assert f"Another server has the address of the broker, {stack.kafka}" in output
    finally:
        other.kill()
        os.kill(stack.pid, signal.SIGCONT)
    wait_for("the broker", lambda: shell.stack().has_port())
    shell.run("run", "archive", "--until-caught-up")
    assert "Everything is in the lake" in shell.run("down")
    assert shell.json("sql", "SELECT count(*) AS n FROM events") == [{"n": 3}]
