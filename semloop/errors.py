"""The errors that SemLoop raises, and what the caller should do about each.

SemLoopError
├── Terminal                do not retry: the result would be the same
│   ├── ConfigError         a setting or an argument is invalid
│   │   └── EventRefused    the arguments do not form a valid event
│   ├── MissingExtra        a package of an optional extra is not installed
│   ├── LakeError           the lake is missing, foreign or unusable
│   ├── BrokerError         Kafka refuses the request or does not answer in time
│   │   └── TopicMissing    the topic does not exist
│   ├── UnusableAnswer      the embedder returned no usable vectors
│   ├── OffsetsGone         retention removed records that were not read yet
│   ├── TakenOver           a newer copy of the flow owns the tables   (exit 3)
│   ├── KeyRefused          not the key that the lake is bound to      (exit 3)
│   ├── TooManyDeadLetters  more than `dead_letters_max_ratio`         (exit 3)
│   ├── TopicChanged        topic re-created or partitions added       (exit 4)
│   └── MemoriesSwitched    `reindex` replaced the table of memories   (exit 4)
└── Transient               retry after a pause
    ├── PeerLost            another process of the same flow ended     (exit 6)
    ├── BrokerUnavailable
    ├── EmbedderUnavailable
    └── StorageUnavailable
        └── FileDamaged     a file of the lake is missing, cut or unreadable
"""

import os
import traceback
from typing import Literal

from semloop.escaping import visible
from semloop.masking import masked

# Why a text has no vector: a component is not finite; wrong dimension; the norm is
# zero; no answer in time; the model refused the text, for example as too long.
SkipReason = Literal["nan", "dimension", "zero", "timeout", "refused"]


def unexpected(error: BaseException) -> str:
    """Describe a foreign error by type and source line; its text may quote an event."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    source_line = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return f"Unexpected {type(error).__name__} at {source_line}"


class SemLoopError(Exception):
    """Base of all errors: `what` happened and what `todo`, one line each.

    Both may quote settings and arguments: logins and keys in addresses are masked, and
    characters that would control a terminal are escaped.
    """

    exit_code = 1

    def __init__(self, what: str, todo: str = "") -> None:
        self.what, self.todo = visible(masked(what)), visible(masked(todo))
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.what}\n{self.todo}" if self.todo else self.what


class Terminal(SemLoopError):
    """A retry would fail in the same way."""


class ConfigError(Terminal):
    """A setting, an argument or an input file is invalid."""


class EventRefused(ConfigError):
    """The arguments do not form a valid event."""


class MissingExtra(Terminal):
    """A package of an optional extra is not installed."""


class LakeError(Terminal):
    """The lake is missing, is not SemLoop's, or cannot be read or written."""


class BrokerError(Terminal):
    """Kafka refuses the request or does not answer in time."""


class TopicMissing(BrokerError):
    """The topic does not exist."""


class UnusableAnswer(Terminal):
    """The model returned no usable vectors for these texts; `reason` says why.

    Flows skip such a text and count it by reason.
    """

    def __init__(
        self, what: str, todo: str = "", *, reason: SkipReason = "refused"
    ) -> None:
        super().__init__(what, todo)
        self.reason: SkipReason = reason


class OffsetsGone(Terminal):
    """Retention removed records before they were read."""


class TakenOver(Terminal):
    """A newer copy of the flow has fenced this one; only the newer one continues."""

    exit_code = 3


class KeyRefused(Terminal):
    """The redaction key is missing, or is not the one that the lake is bound to."""

    exit_code = 3


class TooManyDeadLetters(Terminal):
    """More of the recent records become dead letters than the settings allow."""

    exit_code = 3


class TopicChanged(Terminal):
    """The topic was re-created or has new partitions: restart to read it as it is."""

    exit_code = 4


class MemoriesSwitched(Terminal):
    """`reindex` replaced the table of memories: restart to use the new one."""

    exit_code = 4


class Transient(SemLoopError):
    """A retry after a pause may succeed."""


class PeerLost(Transient):
    """Another process of the same flow ended; all of them restart together."""

    exit_code = 6


class BrokerUnavailable(Transient):
    """No broker answered in time."""


class EmbedderUnavailable(Transient):
    """The model did not answer in time, retries included."""


class StorageUnavailable(Transient):
    """The folder or object store did not accept a write or answer a read."""


class FileDamaged(StorageUnavailable):
    """A file of the lake is missing, cut short or unreadable: few retries help.

    One does if another process has replaced the file since it was looked up.
    """
