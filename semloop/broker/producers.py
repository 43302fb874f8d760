"""Sequence numbers of idempotent producers: a batch that is sent twice is stored once.

Source: `ProducerStateManager` of Apache Kafka, which keeps five batches of a producer,
as many as it may have in flight.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from semloop.broker.batch import SEQUENCES, Batch
from semloop.broker.errors import Code, Refused

BATCHES_KEPT = 5
# Of a partition; those that have been silent for longest are forgotten first, and then
# accepted with any sequence number, as Kafka does.
PRODUCERS_MAX = 2_000


@dataclass
class _Producer:
    epoch: int
    # Sequence number of its first batch here.
    first: int
    # First and last sequence number, and offset, of the newest batches.
    newest: "deque[tuple[int, int, int]]" = field(
        default_factory=lambda: deque(maxlen=BATCHES_KEPT)
    )


class Producers:
    """The newest batches of each idempotent producer of a partition."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, _Producer] = OrderedDict()

    def stored_at(self, batch: Batch) -> int | None:
        """Return the offset of a batch that is stored already; None if it is the next.

        Raises:
            Refused: batches before it are missing, or its producer has a newer copy.
        """
        if batch.producer_id < 0:
            return None
        known = self._known.get(batch.producer_id)
        if known is None:
            return None
        if batch.producer_epoch < known.epoch:
            raise Refused(Code.INVALID_PRODUCER_EPOCH)
        if batch.producer_epoch > known.epoch:
            if batch.first_sequence:
                raise Refused(Code.OUT_OF_ORDER_SEQUENCE_NUMBER)
            return None
        for first, last, offset in known.newest:
            if (first, last) == (batch.first_sequence, batch.last_sequence):
                return offset
        last = known.newest[-1][1] if known.newest else known.first - 1
        if batch.first_sequence == (last + 1) % SEQUENCES:
            return None
        behind = (last - batch.last_sequence) % SEQUENCES < SEQUENCES // 2
        raise Refused(
            Code.DUPLICATE_SEQUENCE_NUMBER
            if behind and known.newest
            else Code.OUT_OF_ORDER_SEQUENCE_NUMBER
        )

    def stored(self, batch: Batch, offset: int) -> None:
        """Note a batch that was stored."""
        if known := self._of(batch):
            known.newest.append((batch.first_sequence, batch.last_sequence, offset))

    def refused(self, batch: Batch) -> None:
        """Note a batch that could not be stored: those after it have to wait for it.

        A producer takes the success of a later batch for that of all before it.
        """
        self._of(batch)

    def corrupted(self, batch: Batch) -> None:
        """Note a batch that is damaged, perhaps in its header: as one that was refused.

        What is known of a producer stays: the batch may be of another one.
        """
        if batch.producer_id not in self._known:
            self._of(batch)

    def _of(self, batch: Batch) -> _Producer | None:
        """Return the producer of a batch, a new one if it or its epoch is new."""
        if batch.producer_id < 0:
            return None
        known = self._known.get(batch.producer_id)
        if known is None or known.epoch != batch.producer_epoch:
            known = _Producer(batch.producer_epoch, batch.first_sequence)
            self._known[batch.producer_id] = known
        self._known.move_to_end(batch.producer_id)
        if len(self._known) > PRODUCERS_MAX:
            self._known.popitem(last=False)
        return known
