"""The program closes all descriptors that are not its own, without a fork; twice."""

import os

from tests.sdk.hosts.host import emit, emit_for, pause, rng

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
