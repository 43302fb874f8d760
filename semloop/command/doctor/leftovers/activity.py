"""Activity check: records of flows, workers and hosts that are gone.

They are for people: no flow resumes from them (`semloop/progress/activity.py`,
`semloop/storage/writers.py`). An old one makes `health` and a starting flow speak of
what no longer exists.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from itertools import count

import msgspec

from semloop.command.doctor import Finding, left, ok
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.leftovers import SAFE_S
from semloop.command.stack.state import running_stack
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_count, format_list
from semloop.flow_registry import FLOWS, STREAMING
from semloop.progress.activity import (
    FOLDER,
    Activity,
    file_name,
    files_of,
    read_file,
)
from semloop.settings import Settings
from semloop.storage import store_time
from semloop.storage.listing import remove_files, stored_files
from semloop.storage.location import Storage
from semloop.storage.writers import FOLDER as WRITERS
from semloop.storage.writers import Writer

CHECK = "activity"


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare the ages of the records with those of the others of their flow."""
    settings, storage = context.require_settings(), context.require_storage()
    found = _gone(settings, storage)
    if not found:
        yield ok(CHECK, "no record of a flow, worker or host that is gone")
        return
    age = format_duration(min(found.values()))
    what = f"{format_count(len(found), 'record')} of flows, workers or hosts that are "
    what += f"gone, for {age} or longer: {format_list(sorted(found))}"
    fix = lambda: _remove(settings, storage, found)  # noqa: E731
    yield left(CHECK, what, fix, "removes them; what runs writes its own again")


def _gone(settings: Settings, storage: Storage) -> dict[str, float]:
    """Return the records to remove, with their ages in seconds."""
    now_s = store_time.now(storage).timestamp()
    listed = [*stored_files(storage, FOLDER), *stored_files(storage, WRITERS)]
    ages = {file.name: now_s - file.changed_s for file in listed}
    old = {name: age_s for name, age_s in ages.items() if age_s > SAFE_S}
    if not old:
        return {}
    prefixes = {flow: _prefixes(flow, ages) for flow in FLOWS}
    every = [prefix for found in prefixes.values() for prefix in found]
    known = {file_name(prefix, n) for prefix in every for n in range(len(ages))}
    own = {name for name in old if fnmatch(name, f"{FOLDER}/*.json")}
    names = own - known
    stack = running_stack(settings)
    topic = stack.topic if stack else settings.topic
    for flow in STREAMING:
        runs = stack is not None and flow in stack.flows
        all_silent = not runs
        for prefix in prefixes[flow]:
            workers = _workers(storage, prefix, ages)
            names |= _superseded(workers, old)
            silent = all(name in old for name in workers)
            all_silent &= silent
            ended = all(activity.ended for activity in workers.values())
            # One whose input ended is not missed by anyone.
            supervised = runs and prefix == files_of(flow, topic)
            if silent and not ended and not supervised:
                names |= workers.keys()
        if all_silent:
            names |= {n for n in old if _is_running_writer(storage, n, flow)}
    return {name: old[name] for name in names}


def _prefixes(flow: str, names: Iterable[str]) -> set[str]:
    """Return how the names of a flow's files begin: one per topic."""
    form = re.compile(rf"{FOLDER}/({re.escape(flow)}(?:-[0-9a-f]{{8}})?)-\d+\.json")
    found = {match[1] for name in names if (match := form.fullmatch(name))}
    return {flow, *found}


def _workers(
    storage: Storage, flow: str, ages: Mapping[str, float]
) -> dict[str, Activity]:
    """Return the records of a flow's workers as `health` reads them: up to a gap."""
    found: dict[str, Activity] = {}
    for worker in count():
        name = file_name(flow, worker)
        activity = read_file(storage, flow, worker) if name in ages else None
        if activity is None:
            return found
        found[name] = activity
    return found


def _superseded(workers: dict[str, Activity], old: Mapping[str, float]) -> set[str]:
    """Return the last workers, if others have their partitions.

    Only from the end: a gap would hide the workers behind it.
    """
    found: set[str] = set()
    owned = {p for n, a in workers.items() if n not in old for p in a.partitions}
    for name, activity in reversed(workers.items()):
        if name not in old or not owned.issuperset(activity.partitions):
            break
        found.add(name)
    return found if owned else set()


def _is_running_writer(storage: Storage, name: str, flow: str) -> bool:
    """Return True if this says that a process of the flow runs."""
    if not name.startswith(f"{WRITERS}/{flow}-"):
        return False
    try:
        return not msgspec.json.decode(storage.read(name) or b"", type=Writer).ended
    except msgspec.MsgspecError:
        return True


def _remove(settings: Settings, storage: Storage, found: Mapping[str, float]) -> str:
    names = sorted(found.keys() & _gone(settings, storage).keys())
    removed = remove_files(storage, names)
    return f"removed {format_count(removed, 'record')}: {format_list(names) or '-'}"
