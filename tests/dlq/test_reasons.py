"""The text on each reason of dead letters."""

from schemas.dead_letter import Reason
from semloop.command.health.reasons import MEANINGS, meaning


def test_every_reason_is_explained() -> None:
    assert set(MEANINGS) == set(Reason)
    for reason in Reason:
        assert meaning(reason).endswith(".")
        assert ": " in meaning(reason)
    assert "newer semloop" in meaning("of_tomorrow")
