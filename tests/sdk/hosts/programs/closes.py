"""The program closes all descriptors that are not its own, without a fork; twice."""

import fcntl
import os

from tests.sdk.hosts.host import emit, emit_for, kept, open_notes, pause, rng

# Not among the numbers that are closed: the Kafka client closes its own again later.
for kind in ("events", "dropped"):
    kept[kind] = fcntl.fcntl(open_notes(kind), fcntl.F_DUPFD, 600)
for _ in range(2):
    emit()
    pause(0.5)
    emit_for(0.1)
    os.closerange(3, 512)
    # Others now have the numbers that the SDK's descriptors had.
    others = [os.open(os.devnull, os.O_RDWR) for _ in range(rng.choice([0, 3, 40]))]
    emit_for(0.2)
    pause(0.5)
emit()
