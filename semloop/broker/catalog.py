"""Creates, extends and deletes topics of a store."""

import uuid
from collections.abc import Mapping
from dataclasses import replace

from semloop.broker.errors import Code, Refused
from semloop.broker.partition import PartitionLog
from semloop.broker.store import Store
from semloop.broker.topic import Topic, check_topic

# Each partition has a file, a list of producers and an entry in each response.
PARTITIONS_MAX = 1_000


def check_new(
    store: Store, name: str, partitions: int, config: Mapping[str, str]
) -> None:
    """Check that a topic can be created.

    Raises:
        Refused: its name, size or configuration is not valid, or it exists.
    """
    if name in store.topics:
        raise Refused(Code.TOPIC_ALREADY_EXISTS, f"Topic {name!r} exists.")
    check_topic(name, config)
    _check_count(store, partitions)


def create(store: Store, name: str, partitions: int, config: dict[str, str]) -> None:
    """Create a topic that was checked.

    Raises:
        OSError: the disk is full, and nothing was created.
    """
    _add_partitions(store, Topic(name, uuid.uuid4(), config, []), partitions)


def grow(store: Store, name: str, partitions: int) -> None:
    """Add partitions to a topic until it has `partitions`.

    Raises:
        Refused: it does not exist, or has as many.
        OSError: the disk is full, and nothing was added.
    """
    topic = store.topic(name)
    added = partitions - len(topic.partitions)
    if added <= 0:
        raise Refused(Code.INVALID_PARTITIONS, "The number can only grow.")
    _check_count(store, added)
    _add_partitions(store, topic, added)


def delete(store: Store, name: str) -> None:
    """Delete a topic with its records.

    Raises:
        Refused: it does not exist.
        OSError: the disk is full, and nothing was deleted.
    """
    topic = store.topic(name)
    others = {each.name: each for each in store.topics.values() if each is not topic}
    store.replace(others, store.groups.without(name))
    for log in topic.partitions:
        log.delete()


def _add_partitions(store: Store, topic: Topic, count: int) -> None:
    first = len(topic.partitions)
    added = [
        PartitionLog(store.folder, topic.prefix(number))
        for number in range(first, first + count)
    ]
    grown = replace(topic, partitions=topic.partitions + added)
    store.replace({**store.topics, topic.name: grown}, store.groups)


def _check_count(store: Store, count: int) -> None:
    """Check that `count` partitions can be added."""
    in_use = sum(len(each.partitions) for each in store.topics.values())
    if count < 1 or in_use + count > PARTITIONS_MAX:
        what = f"All topics together have 1 to {PARTITIONS_MAX} partitions."
        raise Refused(Code.INVALID_PARTITIONS, what)
