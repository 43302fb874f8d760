"""What the exception at the end of a block says: a failure, or an ordinary end."""

import traceback

# Frames of a stack that are kept: the innermost.
FRAMES_MAX = 100
# Cancellation by asyncio, trio and gevent; none is a subclass of `Exception`.
CANCELLED = frozenset(("CancelledError", "Cancelled", "GreenletExit"))


def ended_by(error: BaseException | None) -> str | None:
    """Return how a block ended that did not fail, but did not reach its end either.

    Returns:
        `closed`: its generator was closed; `cancelled`: its task was; `exit`: the
        program ends without an error. None: it failed, or reached its end.
    """
    if error is None or isinstance(error, Exception):
        return None
    if isinstance(error, GeneratorExit):
        return "closed"
    if isinstance(error, SystemExit):
        return "exit" if error.code is None or error.code == 0 else None
    names = {kind.__name__ for kind in type(error).__mro__}
    return "cancelled" if names & CANCELLED else None


def error_text(error: BaseException) -> str:
    """Return the message of an exception, even of one that cannot be printed."""
    try:
        return str(error)
    except Exception as second:
        return f"<str() of {type(error).__name__} raised {type(second).__name__}>"


def stack_of(error: BaseException) -> str | None:
    """Return the innermost frames of an exception as text."""
    try:
        frames = traceback.format_tb(error.__traceback__, limit=-FRAMES_MAX)
    except Exception:  # for example, a loader of modules that is broken
        return None
    return "".join(frames) or None
