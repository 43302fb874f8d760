"""Reads a lake all the time, until its standard input ends.

`python -P -m tests.storm.watching_reader`: prints each thing that a read found, once,
as a line of JSON: the name of the reader, and what it saw.
"""

import json
import sys
import threading
from collections.abc import Callable
from contextlib import closing

from semloop.delta.query import FileQueries
from semloop.delta.snapshot import read_snapshot
from semloop.lake.lake import Lake
from semloop.settings import load
from semloop.storage.location import Storage

# Between two reads, so that the reader leaves the processors to others.
PAUSE_S = 0.2
HITS = 3


def by_files(storage: Storage) -> object:
    """Count the episodes as other engines do: the log, then the files."""
    snapshot = read_snapshot(storage, "episodes")
    if snapshot is None:
        return "no table"
    query = "SELECT count(DISTINCT episode_id) AS found FROM rows"
    with closing(FileQueries(storage)) as queries:
        rows = queries.arrow("episodes", snapshot.uris(storage), query)
    return rows["found"][0].as_py()


def watch() -> None:
    settings = load()
    storage = Storage.of(settings)
    stop, seen = threading.Event(), set()

    def wait() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait).start()
    with Lake(settings=settings, stale_s=0) as lake:
        reads: dict[str, Callable[[], object]] = {
            "files": lambda: by_files(storage),
            "view": lambda: lake.sql("SELECT count(*) FROM episodes").fetchall()[0][0],
            "recall": lambda: lake.recall("text 20", k=HITS).num_rows,
        }
        while not stop.wait(PAUSE_S):
            for name, read in reads.items():
                try:
                    found = name, read()
                except Exception as error:
                    found = name, repr(error)
                if found not in seen:
                    seen.add(found)
                    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    watch()
