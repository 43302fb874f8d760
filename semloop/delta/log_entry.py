"""One entry of a Delta log: its path in the lake and the transactions it contains."""

import json
from collections.abc import Iterator


def entry_name(table: str, version: int) -> str:
    """Return the path, relative to the lake, of the log entry of a version."""
    return f"{table}/_delta_log/{version:020}.json"


def transactions(entry: bytes) -> Iterator[tuple[str, int]]:
    """Yield (app id, version) of each `Transaction` in a log entry."""
    for line in entry.splitlines():
        # Lines of added files are long because of statistics, so they are not parsed.
        transaction = json.loads(line).get("txn") if b'"txn"' in line else None
        if transaction is not None:
            yield transaction["appId"], transaction["version"]
