"""The program becomes a daemon: it forks twice, and closes all descriptors."""

import os

from tests.sdk.hosts.host import emit, emit_for, pause


def detach() -> None:
    """Fork; the parent ends."""
    if os.fork():
        os._exit(0)
    os.setsid()


emit()
pause(0.1)
detach()
emit()
detach()
os.closerange(0, 512)
# Others now have the numbers that the SDK's descriptors had.
others = [os.open(os.devnull, os.O_RDWR) for _ in range(40)]
emit_for(0.1)
pid = os.fork()
emit()
if pid:
    os.waitpid(pid, 0)
for other in others:
    os.fstat(other)
emit()
