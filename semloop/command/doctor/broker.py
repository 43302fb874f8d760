"""The broker: does it answer, does it accept us, what is it?"""

import time
from collections.abc import Iterator

from semloop.command.doctor import Finding, ok, warn
from semloop.command.doctor.cluster import Cluster, Nodes
from semloop.command.doctor.context import Known
from semloop.command.doctor.versions import spoken
from semloop.command.terminal.figures import format_count, format_list
from semloop.errors import BrokerError, BrokerUnavailable
from semloop.kafka.clients import address, client_config, listens
from semloop.settings import Settings

CHECK = "broker"
# Of each broker before 4.0 that has no feature that says it.
OLD_NAME = "inter.broker.protocol.version"


def check(known: Known) -> Iterator[Finding]:
    """Ask for the cluster: an answer means that TLS and login are accepted too."""
    settings = known.need_settings()
    where = address(settings)
    cluster = Cluster(settings)
    # A closed port is known at once; librdkafka would go on trying.
    if not listens(where):
        msg = f"No Kafka broker answers at {where} (nothing listens)."
        todo = "Start one with `semloop up`, or set SEMLOOP_KAFKA to yours."
        raise BrokerUnavailable(msg, todo)
    asked_s = time.perf_counter()
    nodes = cluster.nodes()
    took_ms = (time.perf_counter() - asked_s) * 1000
    known.cluster = cluster
    named = format_list([f"{node.number} at {node.server}" for node in nodes.brokers])
    answers = f"{where} answers in {took_ms:.0f} ms and accepts us"
    yield ok(CHECK, f"{answers}; {format_count(len(nodes.brokers), 'broker')}: {named}")
    yield from _about(settings, cluster, nodes)


def _about(settings: Settings, cluster: Cluster, nodes: Nodes) -> Iterator[Finding]:
    # Since KRaft a broker is named here that passes questions on to the controller.
    controller = "none" if nodes.controller is None else f"broker {nodes.controller}"
    found = f"cluster {nodes.cluster_id!r}, controller: {controller}"
    if nodes.controller is None:
        todo = "Topics cannot be made or changed until its brokers have elected one."
        yield warn(CHECK, found, todo)
    else:
        yield ok(CHECK, found)
    yield ok(CHECK, _version(settings, cluster, nodes))


def _version(settings: Settings, cluster: Cluster, nodes: Nodes) -> str:
    config = client_config(settings)
    # The others are reached under names of their own, which may be wrong: by clients
    # that is found out anyway.
    first = address(settings).split(",")[0].strip()
    said = spoken(first, config)
    if said and said.release:
        return f"Kafka {said.release} ({_feature(said.features)})"
    try:
        old = cluster.broker_config(nodes.brokers[0].number).get(OLD_NAME)
    except (BrokerError, BrokerUnavailable, IndexError):
        old = None
    if old:
        return f"Kafka {old} ({OLD_NAME})"
    requests = f", it knows {said.requests} kinds of requests" if said else ""
    return f"version not told{requests}"


def _feature(features: object) -> str:
    assert isinstance(features, dict)
    return f"metadata.version up to {features['metadata.version']}"
