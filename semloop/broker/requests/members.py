"""Requests of consumers that share the partitions of a topic."""

from semloop.broker.broker import Broker
from semloop.broker.errors import Code, Refused
from semloop.broker.wire import Reader, Writer


async def join_group(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Wait for the other members; the leader gets the data of all."""
    group = broker.memberships.group(request.text())
    session_s = request.i32() / 1_000
    wait_s = request.i32() / 1_000 if version >= 1 else session_s
    member = request.text()
    request.text()
    protocols = dict(request.array(lambda: (request.text(), request.blob() or b"")))
    code = Code.NONE
    try:
        member = await group.join(member, protocols, session_s, wait_s)
    except Refused as refused:
        code = refused.code
    joined = code is Code.NONE
    if version >= 2:
        response.i32(0)
    response.i16(code)
    response.i32(group.generation if joined else -1)
    response.text(group.protocol if joined else "")
    response.text(group.leader if joined else "")
    response.text(member)
    leads = joined and member == group.leader
    members = list(group.members.items()) if leads else []
    for name, each in response.counted(members):
        response.text(name)
        response.blob(each.protocols.get(group.protocol, b""))


async def sync_group(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Return what the leader has assigned to a member."""
    group, generation = broker.memberships.group(request.text()), request.i32()
    member = request.text()
    assigned = dict(request.array(lambda: (request.text(), request.blob() or b"")))
    code, found = Code.NONE, b""
    try:
        found = await group.sync(member, generation, assigned)
    except Refused as refused:
        code = refused.code
    if version >= 1:
        response.i32(0)
    response.i16(code)
    response.blob(found)


def heartbeat(broker: Broker, request: Reader, response: Writer, version: int) -> None:
    """Note that a member lives; tell it if it must join again."""
    group, generation = broker.memberships.group(request.text()), request.i32()
    code = Code.NONE
    try:
        group.check(request.text(), generation)
    except Refused as refused:
        code = refused.code
    if version >= 1:
        response.i32(0)
    response.i16(code)


def leave_group(
    broker: Broker, request: Reader, response: Writer, version: int
) -> None:
    """Remove a member."""
    group, code = broker.memberships.group(request.text()), Code.NONE
    try:
        group.leave(request.text())
    except Refused as refused:
        code = refused.code
    if version >= 1:
        response.i32(0)
    response.i16(code)
