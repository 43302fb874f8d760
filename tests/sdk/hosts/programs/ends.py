"""The program emits, then ends as its argument says."""

import atexit
import ctypes
import faulthandler
import os
import signal
import sys
import threading
from types import FrameType

if sys.argv[1] == "atexit":
    # Registered before the SDK's function, so it runs after that.
    atexit.register(lambda: emit())  # noqa: PLW0108

from tests.sdk.hosts.host import emit, emit_for, pause


class Finalised:
    """Emits when it is destroyed."""

    def __del__(self) -> None:
        emit()


def on_signal(_: int, __: FrameType | None) -> None:
    """Handle a signal: emit, and end immediately."""
    emit()
    os._exit(0)


how = sys.argv[1]
for _ in range(20):
    emit()
if how == "busy daemon thread":
    threading.Thread(target=emit_for, args=(60,), daemon=True).start()
pause(0.5)
if how == "sys.exit":
    sys.exit(0)
if how == "os._exit":
    os._exit(0)
if how == "abort":
    os.abort()
if how == "segmentation fault":
    faulthandler.enable()
    ctypes.string_at(0)
if how in {"SIGTERM", "SIGKILL"}:
    os.kill(os.getpid(), signal.Signals[how])
    threading.Event().wait()
if how == "handler":
    signal.signal(signal.SIGTERM, on_signal)
    os.kill(os.getpid(), signal.SIGTERM)
if how == "finaliser":
    kept = Finalised()
    sys.modules["kept"] = kept  # type: ignore[assignment]
if how == "thread at exit":
    thread = threading.Thread(target=emit_for, args=(0.3,))
    thread.start()
if how == "exception":
    sys.exit("host: its own error")
