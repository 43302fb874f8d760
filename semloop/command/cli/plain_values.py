"""Command-line values that need no conversion, without Pydantic.

Typer converts every value with Pydantic. To import that and to build its validators
takes 80 ms of processor time, a third of the start of a command. Values that have the
declared type already, such as defaults and texts, and names of choices are taken as
they are here. Typer converts all others, and reports what is invalid.

NOTE: Typer has no public way to do this. What is replaced here may change in any
release, so it is replaced only in releases that this module was tested with; with any
other, commands work as before and only start later.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

import typer
from typer.core import TyperArgument, TyperOption

# How the releases begin that this module was tested with.
TESTED = "0.29."
# A value that only Typer can convert.
NOT_PLAIN = object()


def take_plain_values() -> None:
    """Let the commands of this process convert only the values that need it."""
    if not typer.__version__.startswith(TESTED):
        return
    kinds: tuple[Any, ...] = (TyperArgument, TyperOption)
    for kind in kinds:
        converter = kind.get_runtime_param
        if not hasattr(converter, "converts_all"):
            kind.get_runtime_param = _plain_first(converter)


def plain_value(value: object, descriptor: Any) -> object:
    """Return a value that needs no conversion, or else `NOT_PLAIN`.

    Args:
        value: default of a parameter, or its text on the command line.
        descriptor: what Typer knows of the parameter's type.
    """
    kind = descriptor.annotation
    if descriptor.parameter_info.parser is not None or descriptor.is_path:
        return NOT_PLAIN
    if not isinstance(kind, type) or descriptor.is_list or descriptor.is_tuple:
        return NOT_PLAIN
    if value is None or type(value) is kind:
        return value
    if issubclass(kind, Enum):
        return next((choice for choice in kind if choice.value == value), NOT_PLAIN)
    return NOT_PLAIN


def _plain_first(converter: Callable[[Any], Any]) -> Callable[[Any], "_PlainFirst"]:
    def get_runtime_param(parameter: Any) -> _PlainFirst:
        return _PlainFirst(parameter, converter)

    get_runtime_param.converts_all = converter  # type: ignore[attr-defined]
    return get_runtime_param


class _PlainFirst:
    """Takes plain values as they are, and has Typer convert the others."""

    def __init__(self, parameter: Any, converter: Callable[[Any], Any]) -> None:
        self._parameter, self._converter = parameter, converter

    def coerce(self, value: object, param: Any, ctx: Any) -> object:
        """Return what Typer's own converter of this parameter returns."""
        plain = plain_value(value, param.type_descriptor)
        if plain is NOT_PLAIN:
            return self._converter(self._parameter).coerce(value, param=param, ctx=ctx)
        return plain
