"""Topic check: existence, replication, and configuration that retains every event."""

from collections.abc import Iterator, Mapping, Sequence

from semloop.command.doctor import Finding, fail, ok, skip, warn
from semloop.command.doctor.cluster import Partition
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_bytes, format_count, format_list
from semloop.errors import BrokerError
from semloop.kafka.clients import address
from semloop.kafka.topic import AHEAD_MAX, TIME_CONFIG, TOPIC_BYTES_MAX

CHECK = "topic"
# A flow that was stopped overnight must still find all records.
RETENTION_S_MIN = 24 * 3_600
# A clock in a wrong time zone is ahead by less than this.
AHEAD_S_MIN = 24 * 3_600
CHECKED_CONFIG = (
    "max.message.bytes", "cleanup.policy", "min.insync.replicas",
    "retention.ms", "retention.bytes",
)  # fmt: skip


def check(context: CheckContext) -> Iterator[Finding]:
    """Check partitions, replicas and configuration."""
    cluster = context.require_cluster()
    settings = context.require_settings()
    context.topic = cluster.describe()
    partitions = cluster.partitions()
    where = address(settings)
    yield _count(where, settings.topic, len(partitions), settings.archive.partitions)
    try:
        context.topic_config = cluster.topic_config()
    except BrokerError as error:
        todo = f"Grant DescribeConfigs on the topic. {error.todo}"
        yield skip(CHECK, f"the configuration is not readable: {error.what}", todo)
    config = context.topic_config
    yield from _replication(partitions, len(cluster.nodes().brokers), config)
    if config:
        yield from _configuration(where, settings.topic, config)
    unreported = [name for name in CHECKED_CONFIG if name not in config]
    if config and unreported:
        todo = "Ask the administrator of the broker for these values; the embedded "
        todo += "broker retains all records while it runs."
        yield skip(CHECK, f"the broker does not report {', '.join(unreported)}", todo)


def _count(where: str, name: str, count: int, configured: int) -> Finding:
    found = f"{name!r} has {format_count(count, 'partition')}"
    if count >= configured:
        return ok(CHECK, found)
    todo = f"Run: kafka-topics.sh --bootstrap-server {where} --alter "
    todo += f"--topic {name} --partitions {configured}; "
    todo += f"or set SEMLOOP_PARTITIONS to {count}."
    return warn(CHECK, f"{found}, but SEMLOOP_PARTITIONS is {configured}", todo)


def _replication(
    partitions: Sequence[Partition], brokers: int, config: Mapping[str, str]
) -> Iterator[Finding]:
    least = min(p.replicas for p in partitions)
    min_in_sync = int(config.get("min.insync.replicas", "1"))
    leaderless = [str(p.number) for p in partitions if not p.has_leader]
    short = [str(p.number) for p in partitions if p.in_sync < min_in_sync]
    behind = [str(p.number) for p in partitions if p.in_sync < p.replicas]
    found = f"{format_count(least, 'replica')} per partition, "
    found += f"min.insync.replicas is {min_in_sync}"
    if leaderless:
        what = f"no leader for partition {format_list(leaderless)}"
        yield fail(CHECK, what, "Start the brokers with their replicas.")
    elif short:
        what = f"{found}, but fewer are in sync for partition {format_list(short)}"
        todo = "Start the missing brokers: until then these partitions reject writes."
        yield fail(CHECK, what, todo)
    elif behind:
        what = (
            f"{found}; not all replicas are in sync for partition {format_list(behind)}"
        )
        todo = "Start the missing brokers, or wait until the others have caught up."
        yield warn(CHECK, what, todo)
    elif least == 1 < brokers:
        todo = "Add replicas (kafka-reassign-partitions.sh): without its only broker a "
        todo += "partition is unavailable or lost."
        yield warn(CHECK, f"{found}, with {brokers} brokers", todo)
    else:
        yield ok(CHECK, found)


def _configuration(
    where: str, name: str, config: Mapping[str, str]
) -> Iterator[Finding]:
    alter = f"kafka-configs.sh --bootstrap-server {where} --alter "
    alter += f"--entity-type topics --entity-name {name} --add-config "
    if (text := config.get("max.message.bytes")) is not None:
        found = f"max.message.bytes is {int(text):,}"
        if int(text) < TOPIC_BYTES_MAX:
            what = f"{found}: larger events (up to {TOPIC_BYTES_MAX:,}) are rejected"
            todo = f"Run: {alter}max.message.bytes={TOPIC_BYTES_MAX}"
            yield warn(CHECK, what, todo)
        else:
            yield ok(CHECK, found)
    if (text := config.get(AHEAD_MAX)) is not None and int(text) < AHEAD_S_MIN * 1000:
        what = f"records dated over {format_duration(int(text) / 1000)} ahead of the "
        what += "broker's clock are refused: agents then spool all of their events"
        todo = f"Run: {alter}{AHEAD_MAX}={TIME_CONFIG[AHEAD_MAX]}"
        yield warn(CHECK, what, todo)
    if (policy := config.get("cleanup.policy")) is not None:
        if "compact" in policy:
            what = f"cleanup.policy is {policy}: "
            what += "only the newest event per session is kept"
            todo = f"Run: {alter}cleanup.policy=delete"
            yield fail(CHECK, what, todo)
        else:
            shown = policy or "empty: no record is removed"
            yield ok(CHECK, f"cleanup.policy is {shown}")
    if "retention.ms" in config and "delete" in config.get("cleanup.policy", "delete"):
        yield _retention(alter, config)


def _retention(alter: str, config: Mapping[str, str]) -> Finding:
    ms = int(config["retention.ms"])
    bytes_ = int(config.get("retention.bytes", "-1"))
    seconds = ms / 1000
    duration = f"for {format_duration(seconds)}" if ms >= 0 else "without a time limit"
    bound = f"up to {format_bytes(bytes_)} per partition" if bytes_ >= 0 else "any size"
    found = f"events are kept {duration}, {bound}"
    if 0 <= seconds < RETENTION_S_MIN:
        todo = f"Run: {alter}retention.ms={7 * RETENTION_S_MIN * 1000}"
        found += ": a flow that is stopped for longer loses events"
        return warn(CHECK, found, todo)
    return ok(CHECK, found)
