"""Requests about the offsets of groups."""

from semloop.broker.broker import Broker
from semloop.broker.errors import Code, Refused
from semloop.broker.state import NOTHING
from semloop.broker.wire import Reader, Writer


def offset_commit(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Store the offsets that a group reads next."""
    group, generation, member = request.text(), request.i32(), request.text()
    if version >= 7:
        request.text()
    if version <= 4:
        request.i64()

    def topic() -> tuple[str, list[tuple[int, int]]]:
        return request.text(), request.array(partition)

    def partition() -> tuple[int, int]:
        found = request.i32(), request.i64()
        if version >= 6:
            request.i32()
        request.text()
        return found

    refused = broker.memberships.refusal(group, generation, member)
    if version >= 3:
        response.i32(0)
    for name, partitions in response.counted(request.array(topic)):
        response.text(name)
        for number, offset in response.counted(partitions):
            code = refused
            if code is Code.NONE:
                try:
                    broker.store.commit(group, name, number, offset)
                except Refused as error:
                    code = error.code
            response.i32(number)
            response.i16(code)


def offset_fetch(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Return the offsets that a group reads next; -1 where it committed none."""
    group = request.text()
    wanted = request.array_or_none(lambda: (request.text(), request.array(request.i32)))
    if wanted is None:
        known = broker.store.groups.offsets.get(group, {})
        wanted = [(name, [int(p) for p in found]) for name, found in known.items()]
    if version >= 3:
        response.i32(0)
    for name, partitions in response.counted(wanted):
        response.text(name)
        for number in response.counted(partitions):
            response.i32(number)
            response.i64(broker.store.groups.offset(group, name, number))
            if version >= 5:
                response.i32(NOTHING)
            response.text("")
            response.i16(Code.NONE)
    if version >= 2:
        response.i16(Code.NONE)


def list_groups(broker: Broker, _: Reader, response: Writer, version: int) -> None:
    """Name the groups that have members or offsets."""
    if version >= 1:
        response.i32(0)
    response.i16(Code.NONE)
    names = {*broker.store.groups.offsets, *broker.memberships.names()}
    for name in response.counted(sorted(names)):
        response.text(name)
        response.text("consumer")


def describe_groups(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Describe groups; without their members."""
    if version >= 1:
        response.i32(0)
    for name in response.counted(request.array(request.text)):
        is_known = name in broker.store.groups.offsets
        has_members = name in broker.memberships.names()
        response.i16(Code.NONE)
        response.text(name)
        response.text("Stable" if has_members else "Empty" if is_known else "Dead")
        response.text("consumer")
        response.text("")
        response.i32(0)
