"""Members of consumer groups, who agree on who reads which partition.

Source: the guide of Apache Kafka, "Consumer group protocol" (the classic one).
"""

import asyncio
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from semloop.broker.errors import Code, Refused

# A new group waits this long for members that start at the same time.
FIRST_PAUSE_S = 0.2
MEMBERS_MAX = 1_000
NO_GENERATION = -1


@dataclass
class Member:
    """A consumer.

    Attributes:
        protocols: ways to share partitions, the preferred first, with its data.
        session_s: it is gone if it is silent for this long.
        seen_s: time of its last request.
        joins: True while it waits for the other members.
        assignment: what it reads, as its leader wrote it; None until it is known.
    """

    protocols: dict[str, bytes]
    session_s: float
    seen_s: float = field(default_factory=time.monotonic)
    joins: bool = False
    assignment: bytes | None = None


class Membership:
    """One group.

    Attributes:
        generation: number of the last agreement.
        protocol: what they agreed on.
        leader: the member that assigns the partitions.
        members: by id.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.protocol = ""
        self.leader = ""
        self.members: dict[str, Member] = {}
        self._is_stable = False
        self._deadline_s = 0.0
        self._changed = asyncio.Event()

    async def join(
        self,
        member_id: str,
        protocols: dict[str, bytes],
        session_s: float,
        wait_s: float,
    ) -> str:
        """Wait until all members have joined; return the id of this one.

        Raises:
            Refused: it is not known any more, or has no protocol of the others.
        """
        others = [m for name, m in self.members.items() if name != member_id]
        if not protocols or any(
            not each.protocols.keys() & protocols.keys() for each in others
        ):
            raise Refused(Code.INCONSISTENT_GROUP_PROTOCOL)
        if not member_id:
            if len(self.members) >= MEMBERS_MAX:
                raise Refused(Code.POLICY_VIOLATION)
            member_id = f"member-{uuid.uuid4()}"
        elif member_id not in self.members:
            raise Refused(Code.UNKNOWN_MEMBER_ID)
        member = self.members[member_id] = Member(protocols, session_s, joins=True)
        self._begin(wait_s if others else FIRST_PAUSE_S)
        while not self._has_agreed(member):
            await self._wait(self._deadline_s)
        member.seen_s = time.monotonic()
        return member_id

    async def sync(
        self, member_id: str, generation: int, assignments: dict[str, bytes]
    ) -> bytes:
        """Store what the leader assigns; return what this member reads.

        Raises:
            Refused: the group has changed.
        """
        self.check(member_id, generation)
        if member_id == self.leader:
            for name, member in self.members.items():
                member.assignment = assignments.get(name, b"")
            self._notify()
        deadline_s = time.monotonic() + self.members[member_id].session_s
        while True:
            self.check(member_id, generation)
            found = self.members[member_id].assignment
            if found is not None:
                return found
            if time.monotonic() >= deadline_s:
                raise Refused(Code.REBALANCE_IN_PROGRESS)
            await self._wait(deadline_s)

    def check(self, member_id: str, generation: int) -> None:
        """Note a sign of life.

        Raises:
            Refused: the member must join again.
        """
        member = self.members.get(member_id)
        if member is None:
            raise Refused(Code.UNKNOWN_MEMBER_ID)
        member.seen_s = time.monotonic()
        if generation != self.generation:
            raise Refused(Code.ILLEGAL_GENERATION)
        if not self._is_stable:
            raise Refused(Code.REBALANCE_IN_PROGRESS)

    def leave(self, member_id: str) -> None:
        """Remove a member; the others share its partitions.

        Raises:
            Refused: it is not known.
        """
        if self.members.pop(member_id, None) is None:
            raise Refused(Code.UNKNOWN_MEMBER_ID)
        if self.members:
            self._begin(max(m.session_s for m in self.members.values()))

    def expire(self) -> None:
        """Remove the members that are silent."""
        now = time.monotonic()
        for name, member in list(self.members.items()):
            if not member.joins and now - member.seen_s > member.session_s:
                self.leave(name)

    def _begin(self, wait_s: float) -> None:
        if self._is_stable or not self._deadline_s:
            self._deadline_s = time.monotonic() + wait_s
        self._is_stable = False
        self._notify()

    def _has_agreed(self, member: Member) -> bool:
        """Agree once all have joined, or without those that did not in time."""
        if not member.joins:
            return True
        all_joined = all(each.joins for each in self.members.values())
        # Members of a new group start at the same time, so it waits for the others.
        can_agree = all_joined and self.generation > 0
        if not can_agree and time.monotonic() < self._deadline_s:
            return False
        self.members = {name: m for name, m in self.members.items() if m.joins}
        self.generation += 1
        self.leader = next(iter(self.members))
        common = set.intersection(*(set(m.protocols) for m in self.members.values()))
        preferred = self.members[self.leader].protocols
        # Each two of three members may share one that the third does not know.
        self.protocol = next((name for name in preferred if name in common), "")
        for each in self.members.values():
            each.joins, each.assignment = False, None
        self._is_stable = True
        self._notify()
        return True

    def _notify(self) -> None:
        """Wake all who wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self, until_s: float) -> None:
        """Return after a change, or at a time."""
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
                await changed.wait()


class Memberships:
    """All groups with members."""

    def __init__(self) -> None:
        self._groups: dict[str, Membership] = {}

    def names(self) -> Iterable[str]:
        """Return the groups that have members."""
        return self._groups.keys()

    def group(self, name: str) -> Membership:
        """Return a group, a new one if it has no members yet."""
        return self._groups.setdefault(name, Membership())

    def refusal(self, group: str, generation: int, member_id: str) -> Code:
        """Return why a member may not commit offsets; `NONE` if it may.

        One that assigned itself its partitions has no generation, and always may.
        """
        if generation == NO_GENERATION:
            return Code.NONE
        try:
            self.group(group).check(member_id, generation)
        except Refused as refused:
            return refused.code
        return Code.NONE

    def expire(self) -> None:
        """Forget members that are silent, and groups without any."""
        for name, group in list(self._groups.items()):
            group.expire()
            if not group.members:
                del self._groups[name]
