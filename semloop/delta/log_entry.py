"""One entry of a Delta log: its name in the lake, and the numbers that it carries."""

import json
from collections.abc import Iterator


def entry_name(table: str, version: int) -> str:
    """Path of the log entry that made a version, within the lake."""
    return f"{table}/_delta_log/{version:020}.json"


def transactions(entry: bytes) -> Iterator[tuple[str, int]]:
    """(app id, number) of each Transaction that the commit carries."""
    for line in entry.splitlines():
        # Lines of files are long with statistics: only the others are parsed.
        found = json.loads(line).get("txn") if b'"txn"' in line else None
        if found is not None:
            yield found["appId"], found["version"]
