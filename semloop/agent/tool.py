"""A tool: a block that is one call of it, or the decorator of a function."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar, cast, overload

from semloop.agent.call import Call, FindSession
from semloop.agent.call_block import CallBlock
from semloop.agent.current import Recorder, current_session
from semloop.agent.decorate import decorated, name_of

F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger("semloop")
_logged: set[str] = set()


class Tool(CallBlock):
    """`with s.tool("search", args) as call`, `@s.tool` or `@s.tool("search")`."""

    __slots__ = ()

    def __call__(self, function: F) -> F:
        """Decorate a function: record each of its calls as a call of the tool."""

        def start(arguments: Mapping[str, object]) -> Call:
            return Call(self._find, self._name, arguments)

        return cast("F", decorated(function, start))


@overload
def tool(name: str, arguments: object = None) -> Tool: ...


@overload
def tool(name: F) -> F: ...


def tool(name: str | F, arguments: object = None) -> Tool | F:
    """Time and record a call in the session of the current context.

    Use `with semloop.tool("search", args) as call: call.result = ...`, or decorate any
    callable with `@semloop.tool` or `@semloop.tool("search")`. The session is the
    innermost one whose `with` block, or tool call, is around the call. Without one, the
    tool works, but its calls are not recorded; this is logged once.
    """
    return tool_of(found_session, name, arguments)


def tool_of(find: FindSession, name: str | F, arguments: object = None) -> Tool | F:
    """Return the block of a call, or a function that is a tool.

    Args:
        find: returns the session of a call.
        name: the tool's name, or the function.
        arguments: of the block.
    """
    if isinstance(name, str):
        return Tool(find, name, arguments)
    return Tool(find, name_of(name), None)(name)


def found_session(agent: object = None) -> Recorder | None:
    """Return the session of the current context; log once that none was found."""
    session = current_session(agent)
    if session is None and not _logged:
        _logged.add("no session")
        with suppress(Exception):  # the host's handlers may raise
            log.warning(
                "Tools were called outside a session, so their calls are not recorded."
                " Call them inside `with agent.session():`. This is logged once."
            )
    return session
