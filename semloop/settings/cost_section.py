"""Settings of costs: whose namespaces they are, and what tokens cost.

Names are unique across sections: a setting `x` of any section is `SEMLOOP_X`.
"""

import math
from datetime import date
from typing import Annotated, Literal

import msgspec

from semloop.settings.fields import Section

Price = Annotated[float, msgspec.Meta(ge=0)]
Kind = Literal["input", "output", "cached"]
REQUIRED: tuple[Kind, ...] = ("input", "output")


class CostSettings(Section, frozen=True):
    """What agents cost, for the views `cost_by_namespace` and `leaderboard`."""

    namespace_teams: Annotated[
        dict[str, str], msgspec.Meta(examples=['{"travel": "sales"}'])
    ] = msgspec.field(default_factory=dict)
    """Team of each namespace."""

    namespace_projects: Annotated[
        dict[str, str], msgspec.Meta(examples=['{"travel": "booking"}'])
    ] = msgspec.field(default_factory=dict)
    """Project of each namespace."""

    model_prices: Annotated[
        dict[str, dict[Kind, Price]],
        msgspec.Meta(
            examples=[
                '{"gpt-5@2026-01-01": {"input": 1.25, "cached": 0.125, "output": 10}}'
            ]
        ),
    ] = msgspec.field(default_factory=dict)
    """Price of a million tokens, in a currency of your own, by `MODEL@DATE`: it applies
    from that date on, until the next one of the model. Without `cached`, cached tokens
    cost as much as other input."""

    def __post_init__(self) -> None:
        """Refuse prices without a date, input or output, and infinite ones."""
        for key, prices in self.model_prices.items():
            model, _, day = key.rpartition("@")
            if not model or not _is_date(day):
                msg = f"model_prices: `{key}` is not MODEL@YYYY-MM-DD"
                raise ValueError(msg)
            if missing := [kind for kind in REQUIRED if kind not in prices]:
                msg = f"model_prices: `{key}` has no price of {missing[0]}"
                raise ValueError(msg)
            if not all(map(math.isfinite, prices.values())):
                msg = f"model_prices: `{key}` has a price that is not finite"
                raise ValueError(msg)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
