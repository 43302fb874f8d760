"""Refuses sub-interpreters: they end while the sending thread runs, which aborts."""

import importlib
import sys

from semloop.errors import ConfigError

# The only modules that say which interpreter is the main one.
_MODULE = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"


def check_interpreter() -> None:
    """Return if this is the main interpreter.

    Raises:
        ConfigError: it is a sub-interpreter.
    """
    try:
        interpreters = importlib.import_module(_MODULE)
        is_main = interpreters.get_current() == interpreters.get_main()
    except (ImportError, AttributeError):  # another implementation of Python
        return
    if not is_main:
        msg = "An agent cannot run in a sub-interpreter."
        todo = "Create it in the main one (mod_wsgi: WSGIApplicationGroup %{GLOBAL})."
        raise ConfigError(msg, todo)
