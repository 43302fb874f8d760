"""The events of one session, collected in the order of its transcript.

Readers of formats tell it messages, calls and results; it pairs calls with results,
gives every event a time and an id, and settles each in the ledger. Ids depend on the
content and place of an event, never on the length of the transcript: importing it
again adds nothing, and importing it after it grew adds only what is new.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from semloop.event import (
    ID_CHARS_MAX,
    NAME_CHARS_MAX,
    Completion,
    EventType,
    Feedback,
    Message,
    ToolCall,
)
from semloop.texts.roles import Role
from sources.transcripts.drafts import Draft, Head, Typed, arguments_of, start, started
from sources.transcripts.envelopes import NO_RESULT, Envelopes
from sources.transcripts.failures import TOOL_ERROR, failure_of
from sources.transcripts.imported import ImportedEvent
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options

# Events held back behind a call that waits for its result; then it gets none.
WAITING_MAX = 10_000
# Events that stay open to what the next lines tell of them.
LATEST = 16


def _queues() -> defaultdict[str, deque[Draft]]:
    return defaultdict(deque)


@dataclass(slots=True)
class Conversation:
    """Collects the events of one session.

    Args:
        head: of the session.
        options: what the user gave.
        ledger: receives what becomes of each unit.
        grows: a call without result at the end still runs, since the transcript is a
            file that its tool writes to.
    """

    head: Head
    options: Options
    ledger: Ledger
    grows: bool = False
    drafts: deque[Draft] = field(default_factory=deque)
    at: datetime | None = None
    place: str | None = None
    spans: dict[str, str] | None = None
    _waiting: defaultdict[str, deque[Draft]] = field(default_factory=_queues)
    _nameless: deque[Draft] = field(default_factory=deque)
    _parts: int = 0
    _ratings: Counter[str] = field(default_factory=Counter)
    _envelopes: Envelopes = field(init=False)

    def __post_init__(self) -> None:
        self._envelopes = Envelopes(self.head, self.options, self.ledger, self.grows)

    def at_unit(self, at: datetime | None, place: str | None = None) -> None:
        """Say the time and the place of the units that follow."""
        self.at, self.place, self._parts = at, place, 0

    def add(
        self, kind: EventType, payload: Typed, extra: dict[str, object] | None = None
    ) -> Draft:
        """Add an event at the current time and place."""
        place = self.place
        if place is not None:
            place = f"{place}/{self._parts}"
            self._parts += 1
        draft = Draft(kind, payload, self.at, place, extra, spans=self.spans)
        self.drafts.append(draft)
        return draft

    def say(
        self, role: Role, content: str, extra: dict[str, object] | None = None
    ) -> Draft:
        """Add a message."""
        return self.add("message", Message(role=role, content=content), extra)

    def call(self, tool: str, arguments: object, call_id: str | None) -> Draft:
        """Add a tool call that waits for its result."""
        payload = ToolCall(tool=tool[:NAME_CHARS_MAX], status="error", call_id=call_id)
        payload.error_type = NO_RESULT
        if (raw := arguments_of(arguments)) is not None:
            payload.arguments = raw
        draft = self.add("tool_call", payload)
        draft.waits = True
        if self.grows and call_id is not None:
            # Ties the start of a call that still runs to the call that follows.
            draft.spans = {**(self.spans or {}), "span_id": call_id[:ID_CHARS_MAX]}
        if call_id is None:
            self._nameless.append(draft)
        else:
            self._waiting[call_id].append(draft)
        return draft

    def result(
        self,
        call_id: str | None,
        value: object,
        *,
        name: str | None = None,
        failed: bool | None = None,
    ) -> Draft | None:
        """Give a call its result: the oldest one with this id, or this name.

        Returns None if no call waits for it; then the caller tells it as a message.
        """
        draft = self._take(call_id, name)
        if draft is None:
            return None
        self.ledger.kept += 1
        self.finish(draft, value, failed)
        if self.at is not None and draft.at is not None and self.at > draft.at:
            took = (self.at - draft.at) / timedelta(milliseconds=1)
            assert isinstance(draft.payload, ToolCall)
            draft.payload.duration_ms = took
        return draft

    def finish_now(
        self, draft: Draft, value: object, failed: bool | None = None
    ) -> None:
        """Give a call that was just reported its result; nothing else answers it."""
        self._nameless = deque(d for d in self._nameless if d is not draft)
        call_id = getattr(draft.payload, "call_id", None) or ""
        if left := [d for d in self._waiting.pop(call_id, ()) if d is not draft]:
            self._waiting[call_id] = deque(left)
        self.finish(draft, value, failed)

    def finish(self, draft: Draft, value: object, failed: bool | None = None) -> None:
        """Set the result of a call, and whether it failed; None is read from it."""
        payload = draft.payload
        assert isinstance(payload, ToolCall)
        draft.waits = False
        error = failure_of(value, guess=self.options.guess_errors)
        if failed is not None:
            error = (error or TOOL_ERROR) if failed else None
        payload.error_type = error
        payload.status = "error" if error else "success"
        payload.result = msgspec.Raw(msgspec.json.encode(value))

    def _take(self, call_id: str | None, name: str | None) -> Draft | None:
        if call_id is not None:
            queue = self._waiting.get(call_id)
            found = queue.popleft() if queue else None
            if not queue:
                # A session may have any number of calls.
                self._waiting.pop(call_id, None)
            return found
        for number, draft in enumerate(self._nameless):
            if name is None or getattr(draft.payload, "tool", None) == name:
                del self._nameless[number]
                return draft
        if name is None:
            return None
        # A result with the tool's name only, of a call that has an id.
        for queue in self._waiting.values():
            if queue and getattr(queue[0].payload, "tool", None) == name:
                return queue.popleft()
        return None

    def take_back(self, draft: Draft) -> bool:
        """Remove an event that is the last one or near it; False if it is finished."""
        for number in range(len(self.drafts) - 1, -1, -1):
            if self.drafts[number] is draft:
                del self.drafts[number]
                return True
        return False

    def rate(self, rating: Feedback) -> Draft:
        """Add a rating; its occurrence is its place, unless there is another one."""
        draft = self.add("feedback", rating)
        if draft.place is not None:
            return draft
        occurrence = self._ratings[rating.name]
        self._ratings[rating.name] += 1
        draft.place = str(occurrence) if occurrence else ""
        return draft

    def complete(self, reward: float) -> Draft:
        """End the episode with the outcome that a reward means."""
        if reward >= 1:
            return self.add("completion", Completion("success", reward=reward))
        outcome: Literal["partial", "failure"] = "partial" if reward > 0 else "failure"
        return self.add("completion", Completion(outcome, reward=reward))

    def expect(self, count: int) -> None:
        """Say how many events without a time come, if they come one by one."""
        self._envelopes.spread(count)

    def finished(self) -> Iterator[ImportedEvent]:
        """Yield the events at the front that nothing can change any more.

        The last ones are kept: a later line may tell their tokens.
        """
        drafts = self.drafts
        while len(drafts) > LATEST and (
            not drafts[0].waits or len(drafts) > WAITING_MAX
        ):
            event = self._envelopes.enclose(drafts.popleft(), drafts)
            if event is not None:
                yield event

    def so_far(self) -> Iterator[ImportedEvent]:
        """Yield all events, and the starts of calls that wait; they still wait."""
        waiting = [draft for draft in self.drafts if draft.waits]
        while self.drafts:
            draft = self.drafts.popleft()
            if draft.waits:
                if draft.started:
                    continue
                draft = started(draft)
                self.ledger.met += 1
            event = self._envelopes.enclose(draft, self.drafts)
            if event is not None:
                yield event
        self.drafts.extend(waiting)

    def events(self) -> list[ImportedEvent]:
        """Return the events that are left; none may be added afterwards."""
        self._envelopes.spread(len(self.drafts))
        for draft in self.drafts if self.grows else ():
            if draft.waits:
                start(draft)
        enclose, count = self._envelopes.enclose, len(self.drafts)
        found = [enclose(self.drafts.popleft(), self.drafts) for _ in range(count)]
        return [event for event in found if event is not None]
