"""Broker check: reachability, authentication, cluster and version."""

import time
from collections.abc import Iterator

from semloop.command.doctor import Finding, ok, warn
from semloop.command.doctor.cluster import Cluster, Nodes
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.versions import broker_version
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_count, format_list
from semloop.errors import BrokerError, BrokerUnavailable
from semloop.kafka.clients import address, client_config, listens
from semloop.settings import Settings

CHECK = "broker"
# Brokers before 4.0 have this setting; some of them report no feature levels.
PROTOCOL_VERSION = "inter.broker.protocol.version"


def check(context: CheckContext) -> Iterator[Finding]:
    """Describe the cluster; a response implies that TLS and login are accepted."""
    settings = context.require_settings()
    where = address(settings)
    cluster = Cluster(settings)
    # Detect a closed port immediately; librdkafka would keep retrying.
    if not listens(where):
        msg = f"No Kafka broker answers at {where} (nothing is listening)."
        todo = "Start one with `semloop up`, or set SEMLOOP_KAFKA to your broker."
        raise BrokerUnavailable(msg, todo)
    started_s = time.perf_counter()
    nodes = cluster.nodes()
    took = format_duration(time.perf_counter() - started_s)
    context.cluster = cluster
    brokers = format_list([f"{node.number} at {node.server}" for node in nodes.brokers])
    reachable = f"{where} answers in {took}, connection accepted"
    yield ok(
        CHECK, f"{reachable}; {format_count(len(nodes.brokers), 'broker')}: {brokers}"
    )
    yield from _cluster(settings, cluster, nodes)


def _cluster(settings: Settings, cluster: Cluster, nodes: Nodes) -> Iterator[Finding]:
    # With KRaft this is a broker that forwards requests to the controller.
    controller = "none" if nodes.controller is None else f"broker {nodes.controller}"
    found = f"cluster {nodes.cluster_id!r}, controller: {controller}"
    if nodes.controller is None:
        todo = "Wait until the brokers have elected a controller: until then topics "
        todo += "cannot be created or changed."
        yield warn(CHECK, found, todo)
    else:
        yield ok(CHECK, found)
    yield ok(CHECK, _version(settings, cluster, nodes))


def _version(settings: Settings, cluster: Cluster, nodes: Nodes) -> str:
    config = client_config(settings)
    # Only the first bootstrap server: the advertised names of the other brokers may be
    # wrong, which every client reports anyway.
    first = address(settings).split(",")[0].strip()
    version = broker_version(first, config)
    if version and version.release:
        level = version.features["metadata.version"]
        return f"Kafka {version.release} (metadata.version up to {level})"
    try:
        broker_config = cluster.broker_config(nodes.brokers[0].number)
        protocol = broker_config.get(PROTOCOL_VERSION)
    except (BrokerError, BrokerUnavailable, IndexError):
        protocol = None
    if protocol:
        return f"Kafka {protocol} ({PROTOCOL_VERSION})"
    apis = f" (it supports {version.apis} APIs)" if version else ""
    return f"Kafka version not reported by the broker{apis}"
