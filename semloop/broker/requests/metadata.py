"""Requests about the cluster: its only broker, its topics and their configuration."""

from semloop.broker.broker import CLUSTER_ID, NODE_ID, Broker
from semloop.broker.errors import Code
from semloop.broker.topic import BATCH_BYTES_MAX, BYTES_CONFIG, Topic
from semloop.broker.wire import Reader, Writer

# "Which operations are allowed" was not asked.
UNKNOWN_OPERATIONS = -(2**31)
TOPIC_RESOURCE = 2
# Sources of a configuration value: the topic's own, or the default.
OWN, DEFAULT = 1, 5
NO_ID = b"\0" * 16


def metadata(broker: Broker, request: Reader, response: Writer, version: int) -> None:
    """Describe the broker and topics; a topic that is missing is not created."""
    compact = version >= 9
    wanted = _wanted_topics(request, version)
    if version >= 3:
        response.i32(0)
    response.count(1, compact=compact)
    response.i32(NODE_ID)
    response.text(broker.host, compact=compact)
    response.i32(broker.port)
    if version >= 1:
        response.text(None, compact=compact)
    response.tags(compact=compact)
    if version >= 2:
        response.text(CLUSTER_ID, compact=compact)
    if version >= 1:
        response.i32(NODE_ID)
    topics = broker.store.topics
    by_id = {topic.id.bytes: topic for topic in topics.values()}
    found: list[tuple[str | None, bytes, Topic | None]] = []
    if wanted is None:
        found = [(t.name, t.id.bytes, t) for t in topics.values()]
    else:
        for name, topic_id in wanted:
            topic = by_id.get(topic_id) if name is None else topics.get(name)
            found.append((name, topic_id, topic))
    for name, topic_id, topic in response.counted(found, compact=compact):
        _write_topic(response, version, (name, topic_id), topic)
    if 8 <= version <= 10:
        response.i32(UNKNOWN_OPERATIONS)
    response.tags(compact=compact)


def _wanted_topics(
    request: Reader, version: int
) -> list[tuple[str | None, bytes]] | None:
    """Return names and ids; None for all topics."""
    compact = version >= 9

    def topic() -> tuple[str | None, bytes]:
        topic_id = request.take(16) if version >= 10 else NO_ID
        name = request.text_or_none(compact=compact)
        if compact:
            request.tags()
        return name, topic_id

    wanted = request.array_or_none(topic, compact=compact)
    return None if version == 0 and not wanted else wanted


def _write_topic(
    response: Writer,
    version: int,
    wanted: tuple[str | None, bytes],
    topic: Topic | None,
) -> None:
    compact = version >= 9
    name, topic_id = wanted
    missing = Code.UNKNOWN_TOPIC_OR_PARTITION if name else Code.UNKNOWN_TOPIC_ID
    response.i16(Code.NONE if topic else missing)
    shown = topic.name if topic else name
    response.text(shown if version >= 12 else shown or "", compact=compact)
    if version >= 10:
        response.raw(topic.id.bytes if topic else topic_id)
    if version >= 1:
        response.i8(0)
    partitions = range(len(topic.partitions)) if topic else ()
    for number in response.counted(partitions, compact=compact):
        response.i16(Code.NONE)
        response.i32(number)
        response.i32(NODE_ID)
        if version >= 7:
            response.i32(0)
        for _ in ("replicas", "in sync"):
            response.count(1, compact=compact)
            response.i32(NODE_ID)
        if version >= 5:
            response.count(0, compact=compact)
        response.tags(compact=compact)
    if version >= 8:
        response.i32(UNKNOWN_OPERATIONS)
    response.tags(compact=compact)


def find_coordinator(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Name the only broker."""
    if version >= 1:
        response.i32(0)
    response.i16(Code.NONE)
    if version >= 1:
        response.text(None)
    response.i32(NODE_ID)
    response.text(broker.host)
    response.i32(broker.port)


def sasl_handshake(_: Broker, __: Reader, response: Writer, ___: int) -> None:
    """Say that this broker has no logins."""
    response.i16(Code.ILLEGAL_SASL_STATE)
    response.i32(0)


def describe_configs(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Return the configuration of topics; others have none."""

    def resource() -> tuple[int, str, list[str] | None]:
        return request.i8(), request.text(), request.array_or_none(request.text)

    response.i32(0)
    for kind, name, names in response.counted(request.array(resource)):
        topic = broker.store.topics.get(name) if kind == TOPIC_RESOURCE else None
        missing = kind == TOPIC_RESOURCE and topic is None
        response.i16(Code.UNKNOWN_TOPIC_OR_PARTITION if missing else Code.NONE)
        response.text(None)
        response.i8(kind)
        response.text(name)
        own = topic.config if topic else {}
        config = {BYTES_CONFIG: str(BATCH_BYTES_MAX), **own} if topic else {}
        shown = {k: v for k, v in config.items() if names is None or k in names}
        for key, value in response.counted(list(shown.items())):
            response.text(key)
            response.text(value)
            response.i8(1)  # no request changes it
            if version == 0:
                response.i8(key not in own)
            else:
                response.i8(OWN if key in own else DEFAULT)
            response.i8(0)  # no secret
            if version >= 1:
                response.i32(0)
            if version >= 3:
                response.i8(0)
                response.text(None)
