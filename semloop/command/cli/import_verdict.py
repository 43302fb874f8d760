"""What `archive` made of an import: events, duplicates and dead letters, by reason."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from semloop.command.cli.wait_for_flow import running_state, wait_for_flow
from semloop.command.terminal.figures import format_count
from semloop.errors import SemLoopError
from semloop.event import IMPORT_HEADER
from semloop.flow_registry import ARCHIVE
from semloop.settings import Settings

if TYPE_CHECKING:
    from sinks.topic import Sent

# How long `archive` may make no progress before the command ends without its verdict.
PATIENCE_S = 30.0
STORED = """
    WITH delivered AS (
        SELECT unnest($partitions) AS number, unnest($first) AS first,
            unnest($last) AS last
    )
    SELECT count(*) FROM events e JOIN delivered d ON e.kafka_partition = d.number
        AND e.kafka_offset BETWEEN d.first AND d.last
    WHERE e.topic = $topic AND e.topic_id = $topic_id
"""
DEAD = """
    SELECT reason, count(*) FROM dead_letters
    WHERE contains(headers, $mark) GROUP BY 1 ORDER BY 2 DESC, 1
"""


def verdict_lines(settings: Settings, sent: "Sent", import_id: str) -> list[str]:
    """Wait for `archive`, and say what it stored; say why if that is not known."""
    todo = "`semloop run archive --until-caught-up` stores it."
    if settings.on_s3 or running_state(settings, ARCHIVE.name) is None:
        return [f"The flow archive does not run here. {todo}"]
    try:
        if not wait_for_flow(settings, ARCHIVE.name, PATIENCE_S):
            return ["The flow archive makes no progress: see `semloop health`."]
        stored, dead = _found(settings, sent, import_id)
    except SemLoopError as error:
        return [f"What archive stored is not known: {error.what}"]
    known = max(0, sent.records - stored - sum(dead.values()))
    line = f"archive stored {format_count(stored, 'new event')}"
    if known:
        line += f"; {known:,} known already"
    if dead:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dead.items())
        line += f"; {format_count(sum(dead.values()), 'dead letter')}: {reasons}"
    return [f"{line}."]


def _found(
    settings: Settings, sent: "Sent", import_id: str
) -> tuple[int, Mapping[str, int]]:
    from semloop.command.cli.lake_queries import open_lake
    from semloop.kafka.topic import TopicAdmin

    if not sent.offsets:
        return 0, {}
    topic = TopicAdmin(settings).describe()
    partitions, first, last = (
        list(column) for column in zip(*sent.offsets, strict=True)
    )
    where: dict[str, object] = {"partitions": partitions, "first": first, "last": last}
    where |= {"topic": topic.name, "topic_id": topic.topic_id}
    mark = f'["{IMPORT_HEADER}","{import_id}"]'
    with open_lake(settings) as lake:
        (stored,) = lake.sql(STORED, where).fetchall()[0]
        return stored, dict(lake.sql(DEAD, {"mark": mark}).fetchall())
