"""Appends the events of this process to its segments.

`append` may run at any moment in any thread, also while it runs: a signal handler, or
an object that the garbage collector finalises, may emit. There is no lock, since code
that holds one may be interrupted by code that waits for it in another thread.

Instead, the lines marked with `atomic` are not interrupted. The interpreter runs signal
handlers, and switches threads, only at calls and jumps backwards; it collects garbage
only there, or (Python 3.11) where it creates a container. These lines have none of
that, up to the last of their stores. Each is one line since the functions of
`sys.settrace`, as debuggers use them, run between lines. Only one that asks for each
instruction (`f_trace_opcodes`) can interrupt them; it must not emit there.
"""

from pathlib import Path

from semloop.agent.spool.chain import Chain
from semloop.agent.spool.folder import Lock
from semloop.agent.spool.layout import (
    DONE,
    HEADER_BYTES,
    RECORD_BYTES,
    RESERVED,
    WRITTEN,
    checksum,
)
from semloop.agent.spool.segment import Segment
from semloop.agent.spool.space import Space, refusal_of
from semloop.agent.spool.storing import finish, lose


class Writer:
    """Appends to the chain of segments of this process.

    Attributes:
        chain: the segments.
        obstacle: why some events are only in memory, although there is a folder.
    """

    def __init__(
        self, folder: Path | None, name: str, bytes_max: int, memory_max: int
    ) -> None:
        """Create nothing yet.

        Args:
            folder: the folder of the spool; None: keep events in memory only.
            name: of broker and topic.
            bytes_max: of all files in the folder.
            memory_max: bytes of events in memory, where files cannot be written.
        """
        self.chain = Chain()
        self.obstacle: str | None = None
        self._folder = folder
        self._space = Space(folder, name, bytes_max, memory_max)

    @property
    def position(self) -> int:
        """Where the next event will be; positions only grow."""
        last = self.chain.last
        return last.base + last.end

    @property
    def emitted(self) -> int:
        """Number of events appended."""
        last = self.chain.last
        return last.events_before + last.events

    @property
    def in_memory(self) -> int:
        """Number of events that are not done, and that no file has."""
        return sum(map(_in_memory, self.chain))

    def append(self, key: bytes, event: bytes, state: int = WRITTEN) -> str | None:
        """Store an event; return None, or why it was dropped.

        `state`: `HANDED` if the broker may have it already.
        """
        key_size, size = len(key), len(key) + len(event)
        space = (RECORD_BYTES + size + 7) & ~7
        reserved = -1
        try:
            while reserved < 0:
                # The reader sees `end` only after the word.
                # fmt: off
                if (start := (segment := self.chain.last).end) + space <= segment.size: words = segment.words; memory = segment.memory; words[start >> 2] = RESERVED | size; segment.end = start + space; segment.events += 1; reserved = start  # type: ignore[index]  # noqa: E501, E701, E702  # atomic
                # fmt: on
                if reserved < 0 and (refusal := self._grow(segment, space)):
                    return refusal
            assert words is not None
            assert memory is not None
            position = start + RECORD_BYTES
            memory[position : position + key_size] = key
            memory[position + key_size : position + size] = event
            index = start >> 2
            words[index + 1] = checksum(key, event)
            words[index + 2] = key_size
            words[index] = state | size
            reserved = -1
        except BaseException:
            # The host's: Ctrl-C, or a signal handler that raises.
            if reserved >= 0:
                words[reserved >> 2] = DONE | size  # type: ignore[index]
                segment.events -= 1
            raise
        if segment.buffered and start < segment.dirty:
            segment.dirty = start
        return None

    def maintain(self) -> None:
        """See that the files have all events, as far as the disk accepts them.

        For the thread that reads the chain; `append` may run meanwhile.
        """
        self._keep_lock()
        self._store_memory()
        self.obstacle = None
        for segment in self.chain:
            if segment.size and segment.path is None:
                self.obstacle = self._space.obstacle
            try:
                segment.sync()
            except OSError as error:  # tried again, and left in memory
                if self._folder is not None:
                    self.obstacle = refusal_of(self._folder, error)

    def close(self) -> int:
        """Remove the files of which every event was sent; later events get new ones.

        Returns:
            number of events that were only in memory, and cannot be stored.
        """
        self._keep_lock()
        # First: a thread that emits meanwhile gets files with a lock of their own.
        owner = self._space.detach()
        fresh = Chain()
        closed = self.chain
        fresh.last.base = closed.last.base + closed.last.end
        fresh.last.events_before = closed.last.events_before + closed.last.events
        self.chain = fresh
        lost = 0
        for segment in closed:
            try:
                unsent = segment.unsent()
            except OSError:  # the file was removed
                if not segment.doubtful:
                    lost += segment.events - segment.done
                continue
            if not unsent:
                segment.remove()
            elif not (finish(segment) or self._space.save(segment)):
                lost += unsent
        if owner is not None:
            owner.remove()
        return lost

    def release(self) -> None:
        """Close the files in a forked child: they and their locks are the parent's."""
        self._space.release()

    def _grow(self, full: Segment, space: int) -> str | None:
        """Append a segment to the chain; return why there can be none."""
        chain = self.chain
        in_memory = sum(each.size for each in chain if each.path is None)
        keeps_up = chain.first is chain.last
        new = self._space.new(space + HEADER_BYTES, in_memory, keeps_up=keeps_up)
        if new is None:
            return self._space.refusal
        self._link(full, new)
        return None

    def _link(self, full: Segment, new: Segment) -> None:
        """Let later events go to a new segment, and none to the last one."""
        new.base = full.base + full.end
        new.events_before = full.events_before + full.events
        if not self._space.owns(new):  # created while another thread lost the lock
            new.remove()
            return
        # Not if another thread, or a signal handler, did so meanwhile.
        # fmt: off
        if self.chain.last is full: full.next = self.chain.last = new  # noqa: E701  # atomic
        # fmt: on
        if full.next is new:
            full.release()
        else:
            new.remove()

    def _keep_lock(self) -> None:
        if (lock := self._space.keep_lock()) is not Lock.HELD:
            self._leave(lock)

    def _leave(self, lock: Lock) -> None:
        """Continue in new files after the lock of the others was lost.

        Another process may have sent what they have, or be sending it, but not what is
        appended now. So this one sends it with the header, as what a producer had.
        """
        for segment in self.chain:
            if segment.path is not None:
                # Without lock and file, no other process has it.
                is_there = segment.memory is not None or segment.path.exists()
                segment.doubtful |= lock is not Lock.REMOVED or is_there
                if lock is not Lock.AGAIN:
                    lose(segment)
        if (new := self._space.new_file(HEADER_BYTES)) is not None:
            self._link(self.chain.last, new)

    def _store_memory(self) -> None:
        """Write to files what is only in memory, once the disk accepts it again."""
        alone = [each for each in self.chain if each.size and each.path is None]
        if not alone:
            return
        last = self.chain.last
        if last is alone[-1]:
            if (new := self._space.new_file(HEADER_BYTES)) is None:
                return
            self._link(last, new)
        for segment in alone:
            if not self._space.put(segment):
                return


def _in_memory(segment: Segment) -> int:
    """Return the number of records that are not done, and that no file has.

    Where the disk refuses a write, some that it has may count too: those after the
    first change that it does not have.
    """
    if segment.path is None:
        return max(0, segment.events - segment.done)
    if not segment.refused:
        return 0
    return segment.unsent(max(segment.dirty, HEADER_BYTES))
