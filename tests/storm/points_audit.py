"""What was produced for the fail-points, and what the lake has of it."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.support.kill_and_audit import Load

# Records of a batch; fewer than those of which `Load` breaks one.
EVENTS = 24
# The kinds of events that are remembered, of those that `Load` produces.
REMEMBERED = "('message', 'tool_call')"
EPISODES = """
    SELECT coalesce(sum(events), 0) FROM (
        SELECT events FROM tables.episodes
        QUALIFY row_number() OVER (PARTITION BY episode_id ORDER BY revision DESC) = 1
    )
"""


def produce(settings: Settings, origins: Path) -> None:
    """Produce a batch, whose first record is broken; append its origins to a file."""
    load = Load(settings, EVENTS, 0.0)
    load.run()
    with origins.open("a") as file:
        file.writelines(f"{json.dumps(origin)}\n" for origin in sorted(load.origins))


def problems(settings: Settings, origins: Path) -> Iterator[str]:
    """Yield what is lost, duplicated or wrong.

    Dead letters may be gone: retention has removed some.
    """
    lines = origins.read_text().splitlines()
    produced = Counter(tuple(json.loads(line)) for line in lines)
    with Lake(settings=settings, stale_s=0) as lake:

        def rows(query: str) -> list[tuple[object, ...]]:
            return lake.sql(query).fetchall()

        place = "kafka_partition, kafka_offset"
        events = Counter(rows(f"SELECT {place} FROM tables.events"))
        letters = Counter(rows(f"SELECT {place} FROM tables.dead_letters"))
        valid = Counter(
            rows(f"SELECT event_id FROM tables.events WHERE type IN {REMEMBERED}")
        )
        remembered = Counter(
            rows("SELECT event_ids[1] FROM memories WHERE kind = 'event'")
        )
        ((in_episodes,),) = rows(EPISODES)
    stored = events + letters
    if twice := [origin for origin, count in stored.items() if count > 1]:
        yield f"stored twice: {twice[:5]}"
    if unknown := stored.keys() - produced.keys():
        yield f"unknown: {sorted(map(str, unknown))[:5]}"
    # The first record of each batch is broken.
    lost = len(produced) - len(produced) // EVENTS - events.total()
    if lost:
        yield f"{lost} events lost"
    if remembered != valid:
        yield f"memories: {len(valid - remembered)} missing, {len(remembered - valid)} too many"
    if in_episodes != events.total():
        yield f"{in_episodes} events in episodes, not {events.total()}"
