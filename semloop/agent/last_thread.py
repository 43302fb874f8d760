"""Forks by threads: a child ends with its last thread, not with a main thread."""

import threading


def was_forked_by_thread() -> bool:
    """Return True in a child that was not forked by the main thread."""
    return type(threading.main_thread()).__name__ != "_MainThread"


def is_last_thread() -> bool:
    """Return True in such a child once the forking thread has ended.

    A thread that only serves others keeps the process running from then on.
    """
    return was_forked_by_thread() and not threading.main_thread().is_alive()
