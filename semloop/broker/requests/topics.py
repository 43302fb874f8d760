"""Requests that create, change and delete topics."""

from semloop.broker import catalog
from semloop.broker.broker import Broker
from semloop.broker.errors import Code, Refused
from semloop.broker.wire import Reader, Writer

DEFAULT_PARTITIONS = 1
TO_THE_END = -1


def create_topics(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Create topics. Replicas and their placement are ignored: there is one broker."""

    def topic() -> tuple[str, int, dict[str, str]]:
        name, partitions = request.text(), request.i32()
        request.i16()
        placement = request.array(lambda: (request.i32(), request.array(request.i32)))
        config = dict(request.array(lambda: (request.text(), request.text())))
        return name, len(placement) or partitions, config

    wanted = request.array(topic)
    request.i32()
    only_validate = version >= 1 and request.flag()
    if version >= 2:
        response.i32(0)
    for name, partitions, config in response.counted(wanted):
        code, message = Code.NONE, ""
        count = DEFAULT_PARTITIONS if partitions == -1 else partitions
        try:
            catalog.check_new(broker.store, name, count, config)
            if not only_validate:
                catalog.create(broker.store, name, count, config)
        except Refused as refused:
            code, message = refused.code, refused.message
        response.text(name)
        response.i16(code)
        if version >= 1:
            response.text(message or None)


def delete_topics(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Delete topics with their records."""
    if version >= 1:
        response.i32(0)
    for name in response.counted(request.array(request.text)):
        code = Code.NONE
        try:
            catalog.delete(broker.store, name)
        except Refused as refused:
            code = refused.code
        response.text(name)
        response.i16(code)
    broker.appended()


def create_partitions(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Add partitions to topics."""

    def topic() -> tuple[str, int]:
        found = request.text(), request.i32()
        request.array(lambda: request.array(request.i32))
        return found

    response.i32(0)
    for name, count in response.counted(request.array(topic)):
        code, message = Code.NONE, ""
        try:
            catalog.grow(broker.store, name, count)
        except Refused as refused:
            code, message = refused.code, refused.message
        response.text(name)
        response.i16(code)
        response.text(message or None)


def delete_records(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Delete the records before an offset."""

    def topic() -> tuple[str, list[tuple[int, int]]]:
        return request.text(), request.array(lambda: (request.i32(), request.i64()))

    response.i32(0)
    for name, partitions in response.counted(request.array(topic)):
        response.text(name)
        for number, before in response.counted(partitions):
            code, oldest = Code.NONE, -1
            try:
                offset = None if before == TO_THE_END else before
                oldest = broker.store.delete_before(name, number, offset)
            except Refused as refused:
                code = refused.code
            response.i32(number)
            response.i64(oldest)
            response.i16(code)
