"""What a flow logs of what it tries again."""

import io
import json
from collections.abc import Iterator

import pytest
import stamina
import structlog
from stamina.instrumentation import set_on_retry_hooks

from flows.logging_setup import configure
from semloop.errors import StorageUnavailable
from semloop.settings import load

HIDDEN = "ann.lee@example.com"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    set_on_retry_hooks(None)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StorageUnavailable("No room.", "Make some."), "No room."),
        (ValueError(HIDDEN), "ValueError"),
    ],
    ids=["of ours", "of others"],
)
def test_what_lasts_is_told_now_and_then_and_without_content(
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
