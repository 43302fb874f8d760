"""What can go wrong, and what the caller should do about it.

SemLoopError
├── Terminal                give up: trying again changes nothing
│   ├── ConfigError         a setting or an argument is wrong
│   │   └── EventRefused    what was passed makes no event
│   ├── MissingExtra        a package of an optional extra is not installed
│   ├── LakeError           the lake is absent, foreign or cannot be used
│   ├── BrokerError         Kafka refuses, or does not answer for too long
│   │   └── TopicMissing    the topic does not exist
│   ├── UnusableAnswer      an embedder's vectors cannot be used
│   ├── OffsetsGone         retention removed records that were not read yet
│   ├── TakenOver           a newer copy of the flow owns the tables   (exit 3)
│   ├── TopicChanged        topic made again or partitions added       (exit 4)
│   └── MemoriesSwitched    `reindex` put another table in their place (exit 4)
└── Transient               try again after a pause
    ├── PeerLost            another process of the same flow ended     (exit 6)
    ├── BrokerUnavailable
    ├── EmbedderUnavailable
    └── StorageUnavailable
"""

import os
import traceback
from typing import Literal

# Why a text got no vector: not finite; not of the model's length; length zero; no
# answer in time; the model refused it, as one may that is too long.
SkipReason = Literal["nan", "dimension", "zero", "timeout", "refused"]


def unexpected(error: BaseException) -> str:
    """Kind and place of an error that is not ours; its text may quote an event."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"
    return f"Unexpected {type(error).__name__} at {where}"


class SemLoopError(Exception):
    """An error with one line that says what happened and one that says what to do."""

    exit_code = 1

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.todo = todo

    def __str__(self) -> str:
        return f"{self.what}\n{self.todo}" if self.todo else self.what


class Terminal(SemLoopError):
    """Trying again changes nothing."""


class ConfigError(Terminal):
    """A setting, an argument or an input file is wrong."""


class EventRefused(ConfigError):
    """What was passed makes no event."""


class MissingExtra(Terminal):
    """A package of an optional extra is not installed."""


class LakeError(Terminal):
    """The lake is absent, belongs to something else, or cannot be read or written."""


class BrokerError(Terminal):
    """Kafka refuses, or does not answer for too long."""


class TopicMissing(BrokerError):
    """The topic does not exist."""


class UnusableAnswer(Terminal):
    """The model gave no usable vectors for these texts; `reason` says why.

    Flows skip such a text and count it by its reason.
    """

    def __init__(
        self, what: str, todo: str = "", *, reason: SkipReason = "refused"
    ) -> None:
        super().__init__(what, todo)
        self.reason: SkipReason = reason


class OffsetsGone(Terminal):
    """Retention removed records before they were read."""


class TakenOver(Terminal):
    """A newer copy of the flow has fenced this one; exactly one of them goes on."""

    exit_code = 3


class TopicChanged(Terminal):
    """The topic was made again or got partitions: a restart reads it as it is now."""

    exit_code = 4


class MemoriesSwitched(Terminal):
    """`reindex` put another table in the place of this one: a restart goes on there."""

    exit_code = 4


class Transient(SemLoopError):
    """Worth trying again after a pause."""


class PeerLost(Transient):
    """Another process of the same flow ended; all of them start again together."""

    exit_code = 6


class BrokerUnavailable(Transient):
    """No broker answered in time."""


class EmbedderUnavailable(Transient):
    """The model did not answer in time, again and again."""


class StorageUnavailable(Transient):
    """The folder or object store did not take a write or answer a read."""
