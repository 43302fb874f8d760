"""A tool: a block that is one call of it, or the decorator of a function."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from semloop.agent.call import Call
from semloop.agent.decorate import decorated

F = TypeVar("F", bound=Callable[..., Any])


class Tool(Call):
    """`with s.tool("search", args) as call`, `@s.tool` or `@s.tool("search")`."""

    def __call__(self, function: F) -> F:
        """Decorate a function: record each of its calls as a call of the tool."""

        def start(arguments: Mapping[str, object]) -> Call:
            return Call(self._record, self._name, arguments)

        return cast("F", decorated(function, start))
