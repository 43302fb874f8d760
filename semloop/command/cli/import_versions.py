"""Which versions of transcripts the lake has: the ids of their imported events."""

from collections.abc import Sequence

from semloop.errors import SemLoopError
from semloop.flow_registry import ARCHIVE
from semloop.settings import Settings

# How long `archive` may make no progress before the import continues without it.
PATIENCE_S = 15.0
# Ids of imports have version 5 of UUIDs; those of agents have others. What a longer
# transcript replaces is left out: outcomes, and calls that had no result yet.
FOUND = r"""
    SELECT regexp_replace(session_id, '~[0-9a-f]{8}$', '') AS name, session_id,
        list(event_id)
    FROM events
    WHERE regexp_replace(session_id, '~[0-9a-f]{8}$', '') IN (SELECT unnest($names))
        AND type IN ('message', 'tool_call') AND substr(event_id::VARCHAR, 15, 1) = '5'
        AND error_type IS DISTINCT FROM 'no_result'
    GROUP BY ALL ORDER BY min(ts)
"""


class StoredVersions:
    """Looks up versions in the lake, after `archive` has stored earlier imports."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = False

    def ids_of(self, sessions: Sequence[str]) -> dict[str, dict[str, set[str]]]:
        """Return the event ids of each version, by session and by version."""
        from semloop.command.cli.lake_queries import open_lake

        self._wait()
        found: dict[str, dict[str, set[str]]] = {}
        try:
            with open_lake(self._settings) as lake:
                stored = {name: s for s in sessions for name in lake.pseudonyms(s)}
                rows = lake.sql(FOUND, {"names": list(stored)}).fetchall()
        except SemLoopError:
            # NOTE: there is no lake before the first start of `archive`.
            return {}
        for name, version, ids in rows:
            session = stored[name]
            own = session + version[len(name) :]
            found.setdefault(session, {}).setdefault(own, set()).update(map(str, ids))
        return found

    def _wait(self) -> None:
        """Wait for what an earlier command imported, where `archive` runs here."""
        from semloop.command.cli.wait_for_flow import running_state, wait_for_flow

        if self._ready or self._settings.on_s3:
            return
        self._ready = True
        try:
            if running_state(self._settings, ARCHIVE.name) is not None:
                wait_for_flow(self._settings, ARCHIVE.name, PATIENCE_S)
        except SemLoopError:
            return
