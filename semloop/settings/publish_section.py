"""Settings of the topics that flows produce to.

Names are unique across sections: a setting `x` of any section is `SEMLOOP_X`.
"""

from typing import Annotated, Literal

import msgspec

from semloop.settings.fields import Seconds, Section

Prefix = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{0,100}$")]


class PublishSettings(
    Section,
    frozen=True,
    rename={
        "topics": "publish",
        "prefix": "publish_prefix",
        "metrics_every_s": "publish_metrics_every_s",
    },
):
    """What flows produce for subscribers, after it is in the lake."""

    topics: tuple[Literal["metrics", "episodes", "memories"], ...] = ()
    """What to produce: `metrics` (agents by minute), `episodes` (closed ones),
    `memories` (ids of new ones). Nothing unless set: it makes topics on your broker."""

    prefix: Prefix = "semloop."
    """Beginning of the names of these topics; one per lake."""

    metrics_every_s: Seconds = 5.0
    """Seconds between two messages about the same minute of an agent."""
