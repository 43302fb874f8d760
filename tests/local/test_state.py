"""When the state of a flow counts as unstable."""

import pytest

from semloop.command.stack.back_off import HEALTHY_S
from semloop.command.stack.state import RESTARTING, RUNNING, FlowState


@pytest.mark.parametrize(
    ("state", "deaths", "lived_s", "unstable"),
    [
        (RUNNING, 2, 1.0, True),
        (RUNNING, 1, 1.0, False),  # a single death is not a reason for concern
        (RUNNING, 0, 1.0, False),
        (RUNNING, 9, HEALTHY_S, False),
        (RESTARTING, 9, 1.0, False),
        (RUNNING, 9, None, False),
    ],
)
def test_a_flow_is_unstable_soon_after_repeated_deaths(
    state: str, deaths: int, lived_s: float | None, unstable: bool
) -> None:
    flow = FlowState(1, 0.0, state, deaths, 1, deaths)
    assert flow.is_unstable(lived_s) is unstable


def test_a_flow_without_a_process_is_not_unstable() -> None:
    assert not FlowState(None, None, RESTARTING, 3, 1, 3).is_unstable(1.0)
