"""What a flow logs about its retries."""

import io
import json

import pytest
import stamina
import structlog

from flows.logging_setup import configure
from semloop.errors import StorageUnavailable
from semloop.settings import load
from tests.support.hostile_text import hidden_in

pytestmark = pytest.mark.usefixtures("log_setup_restored")

HIDDEN = "ann.lee@example.com"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StorageUnavailable("No room.", "Make some."), "No room."),
        (ValueError(HIDDEN), "ValueError"),
    ],
    ids=["semloop error", "foreign error"],
)
def test_retries_log_every_fifth_attempt_without_event_content(
    error: Exception, reason: str
) -> None:
    logged = io.StringIO()
    configure(load({}), logged)

    @stamina.retry(on=Exception, attempts=18, wait_initial=0, wait_max=0, wait_jitter=0)
    def fails() -> None:
        raise error

    with pytest.raises(type(error)):
        fails()
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [line["tries"] for line in lines] == [7, 12, 17]
    assert {line["reason"] for line in lines} == {reason}
    assert HIDDEN not in logged.getvalue()


def test_a_log_for_people_escapes_what_would_control_their_terminal() -> None:
    logged = io.StringIO()
    configure(load({"SEMLOOP_LOG_FORMAT": "console"}), logged)
    structlog.get_logger().warning("odd", topic="\x1b[2J\u202e", count=2)
    assert hidden_in(logged.getvalue()) == set()
    assert "\\u001b[2J\\u202e" in logged.getvalue()
