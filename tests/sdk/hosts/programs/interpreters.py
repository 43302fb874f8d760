"""Sub-interpreters create an agent, and get the reason why they cannot."""

import sys
import textwrap
from importlib import import_module
from typing import Any

from tests.sdk.hosts.host import emit

PROGRAM = textwrap.dedent("""
    from semloop import Agent
    from semloop.errors import ConfigError
    try:
        Agent("sub")
    except ConfigError as error:
        print("host:", error.what)
    else:
        print("accepted")
""")

interpreters: Any = import_module(
    "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
)
emit()
# One that shares the interpreter's lock, as those of mod_wsgi do: extension modules
# load in no other.
interpreter = (
    interpreters.create("legacy")
    if sys.version_info >= (3, 13)
    else interpreters.create(isolated=False)
)
interpreters.run_string(interpreter, PROGRAM)
interpreters.destroy(interpreter)
emit()
