"""Gives the events of one session their times, ids and envelopes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from semloop.event import DEFAULT_NAMESPACE, Envelope, Message, Meta
from sources.transcripts.drafts import Draft, Head, merged
from sources.transcripts.imported import ImportedEvent, import_id
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options

NO_RESULT = "no_result"
# Events of a chat without times are one second apart, closer if the chat would exceed
# this span: one that has just begun must not end too far in the future.
SPAN_S_MAX = 240.0
_TICK = timedelta(microseconds=1)
WITHOUT_TIME = "without a time, given that of its file"


@dataclass(slots=True)
class Envelopes:
    """Makes events of drafts, in their order, and settles them in the ledger."""

    head: Head
    options: Options
    ledger: Ledger
    grows: bool = False
    _key: bytes = b""
    _number: int = 0
    _last: datetime | None = None
    _last_own: datetime | None = None
    _step: timedelta = timedelta(seconds=1)

    def spread(self, count: int) -> None:
        """Say how many events without a time are still to come."""
        self._step = timedelta(seconds=min(1.0, SPAN_S_MAX / (count or 1)))

    def enclose(self, draft: Draft, following: Sequence[Draft]) -> ImportedEvent | None:
        """Return a draft as an event; None if it is older than the user wants."""
        number = self._number
        self._number += not draft.apart
        at = self._time(draft, following)
        options, ledger = self.options, self.ledger
        if options.since is not None and at < options.since:
            ledger.leave_out(draft.kind.replace("_", " "), "before --since")
            return None
        ledger.events += 1
        ledger.made[draft.kind] += 1
        payload = msgspec.json.encode(draft.payload)
        extra = self._encoded(draft.extra) if draft.extra else b""
        raw = _joined(payload, extra)
        identity = self._identity(draft, raw, extra)
        if draft.more:
            raw = _joined(payload, self._encoded(_with_more(draft)) or extra)
        place = str(number) if draft.place is None else draft.place
        # The completion of a chat that grew has a later number, so its id leaves the
        # number out.
        if draft.kind == "completion":
            place = ""
        return self._in_envelope(draft, at, place, raw, identity)

    def _identity(self, draft: Draft, raw: bytes, extra: bytes) -> bytes:
        """Return what the id depends on: what later lines may tell is left out."""
        message = draft.payload
        if not isinstance(message, Message):
            return raw
        if draft.placed:
            return b""
        if draft.reported is None and not self.grows:
            return raw
        given: tuple[int | None, int | None] = (None, None)
        model = None
        if draft.reported is not None and not self.grows:
            # Cached and reasoning tokens were not read by earlier versions.
            given, model = draft.reported, message.model
        without = replace(
            message,
            model=model,
            input_tokens=given[0],
            output_tokens=given[1],
            cached_tokens=None,
            reasoning_tokens=None,
        )
        whole = msgspec.json.encode(without)
        return whole + extra if self.grows else _joined(whole, extra)

    def _encoded(self, extra: dict[str, object]) -> bytes:
        try:
            return msgspec.json.encode(extra)
        except RecursionError:
            self.ledger.met += 1
            self.ledger.leave_out("field", "is nested too deeply")
            return b""

    def _in_envelope(
        self, draft: Draft, at: datetime, place: str, raw: bytes, identity: bytes
    ) -> ImportedEvent:
        kind = draft.kind
        head = self.head
        event = Envelope(
            id=import_id(self._key, place.encode(), kind.encode(), identity),
            type=kind,
            timestamp=at,
            agent=head.agent,
            payload=msgspec.Raw(raw),
            meta=self._meta(draft.spans),
        )
        lasting = kind == "message" or (
            kind == "tool_call"
            and getattr(draft.payload, "error_type", "") != NO_RESULT
        )
        return ImportedEvent(event.id, msgspec.json.encode(event), lasting)

    def __post_init__(self) -> None:
        # Different agents may use the same chat ids.
        names = [self._meta(None).namespace, self.head.agent, self.head.session_id]
        self._key = msgspec.json.encode(names)

    def _meta(self, spans: Mapping[str, str] | None) -> Meta:
        head = self.head
        meta = Meta(
            session_id=head.session_id,
            namespace=DEFAULT_NAMESPACE if head.namespace is None else head.namespace,
            user_id=head.user_id,
            task=head.task,
            tags=head.tags,
        )
        for name, value in (spans or {}).items():
            setattr(meta, name, value)
        return meta

    def _time(self, draft: Draft, following: Sequence[Draft]) -> datetime:
        """Return the own time of an event, or one just after the event before it.

        Events of one message have its time, a microsecond apart, to stay in order.
        """
        at, last = draft.at, self._last
        if at is not None:
            if at == self._last_own and last is not None:
                at = _after(last, _TICK)
            self._last_own = draft.at
        elif last is None:
            at = self._start(following)
        else:
            at = _after(last, self._step if self._last_own is None else _TICK)
        self._last = at
        return at

    def _start(self, following: Sequence[Draft]) -> datetime:
        if self.head.start is not None:
            return self.head.start.astimezone(UTC)
        own = next((d.at for d in following if d.at is not None), None)
        if own is not None:
            return own
        self.ledger.notes[WITHOUT_TIME] += 1
        return self.options.file_time


def _joined(payload: bytes, extra: bytes) -> bytes:
    return payload[:-1] + b"," + extra[1:] if extra else payload


def _with_more(draft: Draft) -> dict[str, object]:
    extra = draft.extra or {}
    # The `source` of a rating says who gave it.
    name = "fields" if draft.kind == "feedback" else "source"
    given = extra.get(name)
    own = given if isinstance(given, dict) else {}
    return {**extra, name: merged(own, draft.more or {})}


def _after(at: datetime, step: timedelta) -> datetime:
    """Return a later time; the last one of all has none."""
    try:
        return at + step
    except OverflowError:
        return at
