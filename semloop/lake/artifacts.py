"""Reads the artifacts of events: values that were too large for their rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from semloop.artifacts import ArtifactReference, decode_references, restore
from semloop.errors import ConfigError, LakeError
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

FIND = """
SELECT namespace, user_id, session_id, topic_id, kafka_partition, kafka_offset,
    payload, artifacts
FROM events
WHERE event_id = $event_id AND namespace = coalesce($namespace, namespace)
"""
# Users of the episode that has an event.
USERS = """
SELECT users FROM episodes
WHERE namespace = $namespace AND session_id = $session_id AND topic_id = $topic_id
    AND kafka_partition = $partition AND $offset BETWEEN first_offset AND kafka_offset
"""


class _Event(NamedTuple):
    namespace: str
    user_id: str | None
    session_id: str
    topic_id: str
    partition: int
    offset: int
    payload: str
    artifacts: str | None


class ArtifactQueries(ABC):
    """The methods of `Lake` that read artifacts, behind its walls."""

    _storage: Storage

    @abstractmethod
    def sql(
        self,
        query: str,
        params: Sequence[object] | Mapping[str, object] | None = None,
    ) -> "DuckDBPyRelation":
        """Run a query on the views of the lake."""

    @abstractmethod
    def pseudonyms(self, text: str) -> list[str]:
        """Return how the lake stores an id."""

    def artifact(
        self,
        event_id: str,
        number: int = 0,
        *,
        namespace: str | None = None,
        user: str | None = None,
    ) -> Any:
        """Return a value that was too large for its row: a string, list or dictionary.

        Args:
            event_id: id of the event.
            number: number of the artifact, as its placeholder says.
            namespace: only this namespace; needed if several have the event.
            user: only this user, also by the original of a private id.

        Raises:
            ConfigError: there is no such event or artifact behind these filters, or
                several namespaces have the event.
            LakeError, StorageUnavailable: the artifact cannot be read.
        """
        event = self._event(event_id, namespace, user)
        references = decode_references(event.artifacts)
        if not 0 <= number < len(references):
            count = len(references)
            msg = (
                f"Event {event_id} has {count} artifacts; there is no number {number}."
            )
            todo = "Artifacts are numbered from 0; the column `artifacts` lists them."
            raise ConfigError(msg, todo)
        return msgspec.json.decode(self._content(references[number]))

    def payload(
        self, event_id: str, *, namespace: str | None = None, user: str | None = None
    ) -> bytes:
        """Return the redacted JSON of a payload, with its artifacts in their places.

        The arguments and errors are those of `artifact`.
        """
        event = self._event(event_id, namespace, user)
        references = decode_references(event.artifacts)
        moved = [r for r in references if r.column == "payload"]
        return restore(event.payload, [(r, self._content(r)) for r in moved])

    def _event(self, event_id: str, namespace: str | None, user: str | None) -> _Event:
        rows = self.sql(FIND, {"event_id": event_id, "namespace": namespace})
        found = [_Event(*row) for row in rows.fetchall()]
        if user is not None:
            users = self.pseudonyms(user)
            found = [event for event in found if self._is_of_user(event, users)]
        if not found:
            msg = f"There is no event {event_id!r}"
            is_filtered = not (namespace is user is None)
            msg += " behind these filters." if is_filtered else " in the lake."
            raise ConfigError(msg, "Check the id; `event_id` in `events` has it.")
        if len(found) > 1:
            names = ", ".join(sorted(repr(event.namespace) for event in found))
            msg = f"Several namespaces have an event {event_id!r}: {names}."
            raise ConfigError(msg, "Give the namespace.")
        return found[0]

    def _is_of_user(self, event: _Event, users: Sequence[str]) -> bool:
        """True if the event names the user, or is of an episode with no other user."""
        if event.user_id is not None:
            return event.user_id in users
        named = ("namespace", "session_id", "topic_id", "partition", "offset")
        rows = self.sql(USERS, {name: getattr(event, name) for name in named})
        return any(
            len(found or ()) == 1 and found[0] in users for (found,) in rows.fetchall()
        )

    def _content(self, reference: ArtifactReference) -> bytes:
        content = self._storage.read(reference.object)
        if content is None:
            msg = f"The artifact {reference.object} does not exist."
            raise LakeError(msg, "Restore it from a backup; its row is not affected.")
        if sha256(content).hexdigest() != reference.sha256:
            msg = f"The artifact {reference.object} was changed after it was written."
            raise LakeError(msg, "Restore it from a backup; its row is not affected.")
        return content
