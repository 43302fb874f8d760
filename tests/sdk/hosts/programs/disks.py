"""The disk is full, refuses files, or cannot reserve blocks; the folder vanishes."""

import errno
import os
import resource
import shutil
import sys
from typing import Any

how = sys.argv[1]
if how == "no blocks":
    # As on file systems without this call.
    def refused(*_: Any) -> None:
        """Raise what such a file system answers."""
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    os.posix_fallocate = refused
if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

from tests.sdk.hosts.host import emit, emit_for, pause, rng  # noqa: E402

emit()
pause()
emit_for(0.1)
if how == "removed":
    shutil.rmtree(os.environ["SEMLOOP_SPOOL"])
for _ in range(40):
    emit("x" * rng.randrange(100_000))
emit_for(0.1)
