"""Requests of producers."""

import asyncio
import secrets

from semloop.broker.broker import Broker
from semloop.broker.errors import Code, Refused
from semloop.broker.wire import Reader, Writer

# A producer that is refused for lack of room repeats its request immediately.
FULL_PAUSE_S = 1.0
# No version without record batches is accepted.
FIRST_VERSION = 3


async def produce(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Store a batch per partition; refuse what there is no room for."""
    if version < FIRST_VERSION:
        raise Refused(Code.UNSUPPORTED_VERSION)
    transaction = request.text_or_none()
    acks = request.i16()
    request.i32()
    is_full = False

    def answer_partition(topic: str) -> None:
        nonlocal is_full
        partition, data = request.i32(), request.blob()
        offset, code, message = -1, Code.NONE, ""
        try:
            if transaction is not None:
                raise Refused(Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
            offset = broker.store.append(topic, partition, data or b"")
        except Refused as refused:
            code, message = refused.code, refused.message
            is_full |= code is Code.NOT_ENOUGH_REPLICAS
        _result(response, version, (partition, code, offset), message)

    topics = request.i32()
    response.count(topics)
    for _ in range(topics):
        name = request.text()
        response.text(name)
        partitions = request.i32()
        response.count(partitions)
        for _ in range(partitions):
            answer_partition(name)
    response.i32(0)
    broker.appended()
    if is_full:
        await asyncio.sleep(FULL_PAUSE_S)
    if acks == 0:
        response.clear()


def _result(
    response: Writer, version: int, result: tuple[int, Code, int], message: str
) -> None:
    partition, code, offset = result
    response.i32(partition)
    response.i16(code)
    response.i64(offset)
    response.i64(-1)  # the time of the append: records have the producers' time
    if version >= 5:
        response.i64(-1)  # the oldest offset: not reported
    if version >= 8:
        response.i32(0)
        response.text(message or None)


def init_producer_id(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Give an idempotent producer its id; there are no transactions."""
    transaction = request.text_or_none()
    refused = Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    response.i32(0)
    response.i16(Code.NONE if transaction is None else refused)
    # Random: an id that was given out before a crash must never be given out again.
    response.i64(secrets.randbits(62) if transaction is None else -1)
    response.i16(0 if transaction is None else -1)
