"""Which versions of transcripts the lake has: the ids of their imported events."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from semloop.command.terminal.printing import note
from semloop.errors import ConfigError, LakeError, SemLoopError
from semloop.flow_registry import ARCHIVE
from semloop.layout import require_lake
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.lake.lake import Lake
    from sources.transcripts.versions import Events, Key

# How long `archive` may make no progress before the import continues without it.
PATIENCE_S = 15.0
# Ids of imports have version 5 of UUIDs; those of agents have others. What a longer
# transcript replaces is left out: outcomes, and calls that had no result yet.
FOUND = r"""
    SELECT namespace, agent,
        regexp_replace(session_id, '~[0-9a-f]{8}$', '') AS name, session_id,
        list({'id': event_id::VARCHAR, 'text': md5(concat_ws(chr(10),
            payload->>'role', payload->>'content', payload->>'tool',
            payload->>'arguments', payload->>'result'))} ORDER BY ts)
    FROM events
    WHERE regexp_replace(session_id, '~[0-9a-f]{8}$', '') IN (SELECT unnest($names))
        AND type IN ('message', 'tool_call') AND substr(event_id::VARCHAR, 15, 1) = '5'
        AND error_type IS DISTINCT FROM 'no_result'
    GROUP BY ALL ORDER BY min(ts)
"""
NOT_STORED = "an edited transcript that it has not stored yet is not recognized."


class StoredVersions:
    """Looks up versions in the lake, after `archive` has stored earlier imports."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = False
        self._without_key = False

    def ids_of(self, keys: "Sequence[Key]") -> "dict[Key, dict[str, Events]]":
        """Return the events of each version, by session and by version.

        Raises:
            LakeError, StorageUnavailable: the lake cannot be read.
        """
        from semloop.command.cli.lake_queries import open_lake

        try:
            require_lake(Storage.of(self._settings))
        except LakeError:
            # There is no lake before the first start of `archive`.
            return {}
        self._wait()
        found: dict[Key, dict[str, Events]] = {}
        with open_lake(self._settings) as lake:
            stored = {own: key for key in keys for own in self._as_stored(lake, key)}
            names = list({name for _, _, name in stored})
            rows = lake.sql(FOUND, {"names": names}).fetchall()
        for namespace, agent, name, version, ids in rows:
            key = stored.get((namespace, agent, name))
            if key is not None:
                own = key[2] + version[len(name) :]
                found.setdefault(key, {})[own] = {one["id"]: one["text"] for one in ids}
        return found

    def as_stored(self, texts: Sequence[str]) -> list[set[str]]:
        """Return how the lake may have texts; none if it takes a key to know."""
        from semloop.command.cli.lake_queries import open_lake

        found: list[set[str]] = []
        with open_lake(self._settings) as lake:
            for text in texts:
                try:
                    found.append(set(lake.pseudonyms(text)))
                except ConfigError:
                    found.append(set())
        return found

    def _as_stored(self, lake: "Lake", key: "Key") -> "Iterator[Key]":
        """Yield how the lake may have the names of a session."""
        namespace, agent, session = key
        try:
            for own in lake.pseudonyms(session):
                for by in lake.pseudonyms(agent):
                    yield namespace, by, own
        except ConfigError as error:
            if not self._without_key:
                note(f"Edited transcripts are not recognized: {error.what}")
            self._without_key = True

    def _wait(self) -> None:
        """Wait for what an earlier command imported, where `archive` runs here."""
        from semloop.command.cli.wait_for_flow import running_state, wait_for_flow

        if self._ready:
            return
        self._ready = True
        if self._settings.on_s3:
            note(f"The import does not wait for `archive`: {NOT_STORED}")
            return
        try:
            if running_state(self._settings, ARCHIVE.name) is None:
                note(f"The flow `archive` does not run here: {NOT_STORED}")
            elif not wait_for_flow(self._settings, ARCHIVE.name, PATIENCE_S):
                note(f"The flow `archive` makes no progress: {NOT_STORED}")
        except SemLoopError as error:
            note(f"{error.what} So {NOT_STORED}")
