"""The topic: is it there, and does its configuration keep every event?"""

from collections.abc import Iterator, Mapping, Sequence

from semloop.command.doctor import Finding, fail, ok, skip, warn
from semloop.command.doctor.cluster import Partition
from semloop.command.doctor.context import Known
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_bytes, format_count, format_list
from semloop.errors import BrokerError
from semloop.kafka.clients import address
from semloop.kafka.topic import TOPIC_BYTES_MAX

CHECK = "topic"
# A flow that stands still over a night must find everything again.
RETENTION_S_MIN = 24 * 3_600
TOLD = (
    "max.message.bytes", "cleanup.policy", "min.insync.replicas",
    "retention.ms", "retention.bytes",
)  # fmt: skip


def check(known: Known) -> Iterator[Finding]:
    """Look at partitions, replicas and settings."""
    cluster = known.need_cluster()
    settings = known.need_settings()
    known.topic = cluster.describe()
    partitions = cluster.partitions()
    where = address(settings)
    yield _count(where, settings.topic, len(partitions), settings.archive.partitions)
    try:
        known.topic_config = cluster.topic_config()
    except BrokerError as error:
        todo = f"Grant DescribeConfigs on the topic. {error.todo}"
        yield skip(CHECK, f"its settings may not be read: {error.what}", todo)
    config = known.topic_config
    yield from _replicas(partitions, len(cluster.nodes().brokers), config)
    if config:
        yield from _settings(where, settings.topic, config)
    untold = [name for name in TOLD if name not in config]
    if config and untold:
        todo = "Ask who runs it; the embedded broker keeps all, as long as it runs."
        yield skip(CHECK, f"the broker does not tell {', '.join(untold)}", todo)


def _count(where: str, name: str, count: int, wanted: int) -> Finding:
    found = f"{name!r} has {format_count(count, 'partition')}"
    if count >= wanted:
        return ok(CHECK, found)
    todo = f"Add some: kafka-topics.sh --bootstrap-server {where} --alter "
    todo += f"--topic {name} --partitions {wanted}; "
    todo += f"or set SEMLOOP_PARTITIONS to {count}."
    return warn(CHECK, f"{found}, the settings mean {wanted}", todo)


def _replicas(
    partitions: Sequence[Partition], brokers: int, config: Mapping[str, str]
) -> Iterator[Finding]:
    least = min(p.replicas for p in partitions)
    wanted = int(config.get("min.insync.replicas", "1"))
    bare = [str(p.number) for p in partitions if not p.led]
    short = [str(p.number) for p in partitions if p.in_sync < wanted]
    behind = [str(p.number) for p in partitions if p.in_sync < p.replicas]
    replicas = format_count(least, "replica")
    found = f"{replicas} of each partition, min.insync.replicas {wanted}"
    if bare:
        what = f"no leader for partition {format_list(bare)}"
        yield fail(CHECK, what, "Start the brokers that hold them.")
    elif short:
        what = f"{found}; fewer in sync for partition {format_list(short)}"
        todo = "Start the missing brokers: until then nothing can be produced there."
        yield fail(CHECK, what, todo)
    elif behind:
        what = f"{found}; not all are in sync for partition {format_list(behind)}"
        yield warn(CHECK, what, "Start the missing brokers, or wait for the slow ones.")
    elif least == 1 < brokers:
        todo = "Add replicas (kafka-reassign-partitions.sh): with its only broker a "
        todo += "partition is away, or lost."
        yield warn(CHECK, f"{found}, on {brokers} brokers", todo)
    else:
        yield ok(CHECK, found)


def _settings(where: str, name: str, config: Mapping[str, str]) -> Iterator[Finding]:
    alter = f"kafka-configs.sh --bootstrap-server {where} --alter "
    alter += f"--entity-type topics --entity-name {name} --add-config "
    if (text := config.get("max.message.bytes")) is not None:
        found = f"max.message.bytes is {int(text):,}"
        if int(text) < TOPIC_BYTES_MAX:
            what = f"{found}: events of up to {TOPIC_BYTES_MAX:,} are refused"
            todo = f"Run: {alter}max.message.bytes={TOPIC_BYTES_MAX}"
            yield warn(CHECK, what, todo)
        else:
            yield ok(CHECK, found)
    if (policy := config.get("cleanup.policy")) is not None:
        if "compact" in policy:
            what = f"cleanup.policy is {policy}: of each session only the newest event"
            todo = f"Run: {alter}cleanup.policy=delete"
            yield fail(CHECK, f"{what} is kept", todo)
        else:
            yield ok(
                CHECK, f"cleanup.policy is {policy or 'empty: nothing is removed'}"
            )
    if "retention.ms" in config and "delete" in config.get("cleanup.policy", "delete"):
        yield _retention(alter, config)


def _retention(alter: str, config: Mapping[str, str]) -> Finding:
    ms = int(config["retention.ms"])
    bytes_ = int(config.get("retention.bytes", "-1"))
    seconds = ms / 1000
    kept = (
        f"events are kept for {format_duration(seconds)}"
        if ms >= 0
        else "events are kept"
    )
    bound = (
        f", up to {format_bytes(bytes_)} a partition"
        if bytes_ >= 0
        else ", of any size"
    )
    if 0 <= seconds < RETENTION_S_MIN:
        todo = f"Run: {alter}retention.ms={7 * RETENTION_S_MIN * 1000}"
        found = f"{kept}{bound}: a flow that stops for longer loses some"
        return warn(CHECK, found, todo)
    return ok(CHECK, f"{kept}{bound}")
