"""Finds out which file of a lake is missing or damaged, for error texts.

Some libraries report only that a Parquet file or a log cannot be read.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# A file of the lake is missing, cut or not what it was.
DAMAGED = re.compile(
    r"No such file|No files found|found gap|No table metadata|Json error|Truncated"
    r"|Invalid Checkpoint|too small|file size is \d+ bytes|magic bytes|Corrupt footer"
    r"|deserialize thrift|Unexpected end of stream"
)
_ENTRY = re.compile(r"/(\d{20})\.json$")
_CHECKPOINT = re.compile(r"/(\d{20})\.checkpoint[.\w-]*\.parquet$")


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Add the name of a file to pyarrow's errors about its content.

    Args:
        name: of the file, in the lake.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if DAMAGED.search(str(error)) is None or name in str(error):
            raise
        msg = f"{name}: {error}"
        raise type(error)(msg) from error


def log_damage(
    table: str, read: Callable[[str], bytes | None], list_log: Callable[[], set[str]]
) -> str:
    """Return which file of a table's log is missing or damaged; empty if none is.

    Args:
        table: folder of the table in the lake.
        read: reads a file of the lake; returns None if it does not exist.
        list_log: returns the names in the lake of the files of the log.
    """
    hint_name = f"{table}/_delta_log/_last_checkpoint"
    # Before the folder is listed: a flow may write a checkpoint meanwhile.
    hint = read(hint_name)
    names = list_log()
    checkpoints = {int(m[1]): name for name in names if (m := _CHECKPOINT.search(name))}
    entries = {int(m[1]) for name in names if (m := _ENTRY.search(name))}
    start = max(checkpoints, default=-1)
    if hint is not None:
        named = _named_version(hint)
        if named is None:
            return f"{hint_name} cannot be read"
        if named not in checkpoints:
            return f"{hint_name} names version {named}, which has no checkpoint"
    if start in checkpoints and not _is_parquet(read(checkpoints[start])):
        return f"{checkpoints[start]} cannot be read"
    for version in range(start + 1, max(entries, default=-1) + 1):
        entry = f"{table}/_delta_log/{version:020}.json"
        if version not in entries:
            return f"{entry} is missing"
        if not _is_entry(read(entry)):
            return f"{entry} cannot be read"
    return ""


def _named_version(hint: bytes) -> int | None:
    try:
        return int(json.loads(hint)["version"])
    except (ValueError, TypeError, KeyError):
        return None


def _is_parquet(data: bytes | None) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.ParquetFile(io.BytesIO(data or b""))
    except (pa.ArrowException, OSError):
        return False
    return True


def _is_entry(data: bytes | None) -> bool:
    """Return True if each line is an action, and there is one."""
    lines = (data or b"").splitlines()
    try:
        return bool(lines) and all(isinstance(json.loads(each), dict) for each in lines)
    except ValueError:
        return False
