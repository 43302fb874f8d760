"""Requests of consumers for records and offsets."""

import time
from typing import NamedTuple

from semloop.broker.broker import Broker
from semloop.broker.errors import Code, Refused
from semloop.broker.wire import Reader, Writer

LATEST, EARLIEST = -1, -2
WAIT_S_MAX = 30.0


class _Wanted(NamedTuple):
    topic: str
    partition: int
    offset: int
    bytes_max: int


class _Found(NamedTuple):
    wanted: _Wanted
    code: Code
    data: bytes
    start: int
    end: int


async def fetch(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Return records; at the end, wait for some, as long as the client says."""
    request.i32()
    wait_s = min(request.i32() / 1_000, WAIT_S_MAX)
    bytes_min, bytes_max = request.i32(), request.i32()
    request.i8()  # isolation: there are no transactions
    if version >= 7:
        request.i32()
        request.i32()
    wanted = [
        each
        for topic in request.array(lambda: _topic(request, version))
        for each in topic
    ]
    deadline_s = time.monotonic() + wait_s
    while True:
        found = _read(broker, wanted, min(bytes_max, broker.answer_bytes_max))
        left_s = deadline_s - time.monotonic()
        is_enough = sum(len(each.data) for each in found) >= bytes_min
        if is_enough or left_s <= 0 or any(each.code for each in found):
            break
        found.clear()  # many may wait
        await broker.wait_for_records(left_s)
    response.i32(0)
    if version >= 7:
        response.i16(Code.NONE)
        response.i32(0)  # no session: each request names all partitions
    _write(response, found, version)


def _topic(request: Reader, version: int) -> list[_Wanted]:
    name = request.text()
    return request.array(lambda: _partition(request, version, name))


def _partition(request: Reader, version: int, topic: str) -> _Wanted:
    partition = request.i32()
    if version >= 9:
        request.i32()
    offset = request.i64()
    if version >= 5:
        request.i64()
    return _Wanted(topic, partition, offset, request.i32())


def _read(broker: Broker, wanted: list[_Wanted], bytes_max: int) -> list[_Found]:
    found = []
    for each in wanted:
        code, data, start, end = Code.NONE, b"", -1, -1
        try:
            log = broker.store.log(each.topic, each.partition)
            start, end = log.start_offset, log.next_offset
            if bytes_max > 0:
                data = log.read(each.offset, max(min(each.bytes_max, bytes_max), 1))
            if each.offset >= log.end_offset:
                end = (
                    each.offset
                )  # in a gap, too, a reader learns that it is at the end
        except Refused as refused:
            code = refused.code
        except OSError as error:
            code = Code.KAFKA_STORAGE_ERROR
            broker.report_once(f"{error.filename} cannot be read: {error.strerror}.")
        bytes_max -= len(data)
        found.append(_Found(each, code, data, start, end))
    return found


def _write(response: Writer, found: list[_Found], version: int) -> None:
    by_topic: dict[str, list[_Found]] = {}
    for each in found:
        by_topic.setdefault(each.wanted.topic, []).append(each)
    response.count(len(by_topic))
    for topic, partitions in by_topic.items():
        response.text(topic)
        response.count(len(partitions))
        for each in partitions:
            response.i32(each.wanted.partition)
            response.i16(each.code)
            response.i64(each.end)
            response.i64(each.end)
            if version >= 5:
                response.i64(each.start)
            response.i32(-1)  # aborted transactions
            if version >= 11:
                response.i32(-1)
            response.blob(each.data)


def list_offsets(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Return the oldest or next offset, or the one of a time."""
    request.i32()
    if version >= 2:
        request.i8()
        response.i32(0)

    def topic() -> tuple[str, list[tuple[int, int]]]:
        return request.text(), request.array(partition)

    def partition() -> tuple[int, int]:
        number = request.i32()
        if version >= 4:
            request.i32()
        return number, request.i64()

    for name, partitions in response.counted(request.array(topic)):
        response.text(name)
        for number, timestamp_ms in response.counted(partitions):
            code, found = Code.NONE, (-1, -1)
            try:
                found = _offset(broker, name, number, timestamp_ms)
            except Refused as refused:
                code = refused.code
            response.i32(number)
            response.i16(code)
            response.i64(found[1])
            response.i64(found[0])
            if version >= 4:
                response.i32(0)


def _offset(
    broker: Broker, topic: str, partition: int, timestamp_ms: int
) -> tuple[int, int]:
    log = broker.store.log(topic, partition)
    if timestamp_ms == LATEST:
        return log.next_offset, -1
    if timestamp_ms == EARLIEST:
        return log.start_offset, -1
    return log.offset_at(timestamp_ms)
