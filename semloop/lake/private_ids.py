"""Finds stored pseudonyms by the originals, where the reader has the lake's key.

An id that is an e-mail address, a phone number or an IP address is stored as its
pseudonym. Whoever holds the redaction key may ask for the original.
"""

import re
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from semloop.errors import ConfigError, SemLoopError
from semloop.settings import Secret, Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from semloop.redaction.redactor import Redactor

# Ids and queries that no rule matches, which saves the import of the redactor.
PLAIN_ID = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,31}")
MAYBE_PRIVATE = re.compile(r"[@=:%]|[0-9](?:[^0-9]{0,3}[0-9]){4}|[A-Za-z0-9_\-]{16}")


class PrivateIds:
    """The pseudonyms of texts under the keys of a lake, the newest key first."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings = settings
        self._storage = storage

    def pseudonyms(self, text: str) -> list[str]:
        """Return how a text may be stored: as it is, or as one of its pseudonyms.

        Raises:
            ConfigError: the text is stored as a pseudonym, and this reader has no key.
            LakeError, StorageUnavailable: the keys of the lake cannot be read.
        """
        if PLAIN_ID.fullmatch(text):
            return [text]
        if found := [redactor.text(text) for redactor in self._redactors]:
            return list(dict.fromkeys(found))
        if self._without_key.text(text) is text:
            return [text]
        msg = (
            "This text is stored as a pseudonym, and this reader has no redaction key."
        )
        todo = "Set SEMLOOP_REDACTION_KEY to the lake's key, or pass the pseudonym."
        raise ConfigError(msg, todo)

    def in_query(self, query: str) -> str:
        """Return a query with its private parts as the lake has them.

        Without a key, it is returned as it is.
        """
        if not MAYBE_PRIVATE.search(query) or not self._redactors:
            return query
        return self._redactors[0].text(query)

    @cached_property
    def _redactors(self) -> list["Redactor"]:
        from semloop.storage.redaction_key import lookup_keys

        keys = lookup_keys(self._settings, self._storage)
        return [self._redactor(key) for key in keys]

    @cached_property
    def _without_key(self) -> "Redactor":
        return self._redactor(Secret(""))

    def _redactor(self, key: Secret) -> "Redactor":
        from semloop.redaction.factory import redactor_of

        return redactor_of(key, self._settings.redaction)


# The function returns JSON, so that an error has only our text.
MACROS = """
CREATE MACRO pseudonyms(text) AS (
    SELECT CASE
        WHEN found->>'$.error' IS NOT NULL THEN error(found->>'$.error')
        ELSE from_json(found->'$.ids', '["VARCHAR"]')
    END
    FROM (SELECT stored_ids(text)::JSON AS found)
);
CREATE MACRO pseudonym(text) AS pseudonyms(text)[1];
"""


def define(connection: "DuckDBPyConnection", ids: PrivateIds) -> None:
    """Create `pseudonym(text)` and `pseudonyms(text)` in a database."""

    def stored_ids(text: str) -> str:
        try:
            found: dict[str, object] = {"ids": ids.pseudonyms(text)}
        except SemLoopError as error:
            found = {"error": str(error)}
        return msgspec.json.encode(found).decode()

    connection.create_function(
        "stored_ids", stored_ids, ["VARCHAR"], "VARCHAR", side_effects=True
    )
    connection.execute(MACROS)
