"""Encodes the events of one agent, except those that sampling leaves out."""

from collections.abc import Mapping
from datetime import UTC, datetime

from semloop.agent.events import encode
from semloop.agent.metadata import Metadata
from semloop.agent.refusals import Refusals
from semloop.errors import EventRefused
from semloop.sampling import is_kept
from semloop.settings import Settings


class Encoder:
    """Encodes the events of one agent.

    Args:
        agent: its name.
        settings: share of sessions to send, and largest event.
        refusals: receives the problems of fields that are left out.
    """

    __slots__ = ("_agent", "_bytes_max", "_report", "_sample")

    def __init__(self, agent: str, settings: Settings, refusals: Refusals) -> None:
        self._agent = agent
        self._sample = settings.agent.sample
        self._bytes_max = settings.archive.record_bytes_max
        self._report = None if refusals.strict else refusals.log_once

    def encode(
        self,
        event_id: str,
        kind: str,
        meta: Mapping[str, object],
        payload: Mapping[str, object],
        metadata: Metadata,
        at: datetime | None = None,
    ) -> bytes | None:
        """Return an event as JSON; None if sampling leaves it out.

        `at`: its time, now by default.

        Raises:
            EventRefused: the arguments do not form a valid event.
        """
        try:
            failed = payload.get("status") == "error"
            session_id = str(meta["session_id"])
            if not is_kept(kind, self._agent, session_id, self._sample, failed=failed):
                return None
            return encode(
                kind, event_id, self._agent, at or datetime.now(UTC), payload, meta,
                self._bytes_max, self._report, metadata,
            )  # fmt: skip
        except EventRefused:
            raise
        except Exception as error:  # the host must not fail
            msg = f"An event cannot be encoded: {type(error).__name__}."
            raise EventRefused(msg, "Pass text, numbers, lists and dicts.") from None
