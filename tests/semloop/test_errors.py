"""Texts and exit codes of errors; supervisors act on the exit codes."""

import inspect

import pytest

from semloop import errors
from semloop.errors import SemLoopError, Terminal, Transient

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SemLoopError)
]
OTHER_CODES = {
    "TakenOver": 3,
    "TopicChanged": 4,
    "MemoriesSwitched": 4,
    "KeyRefused": 3,
    "TooManyDeadLetters": 3,
    "PeerLost": 6,
}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_exit_code_is_1_unless_a_supervisor_acts_on_it(
    kind: type[SemLoopError],
) -> None:
    assert kind.exit_code == OTHER_CODES.get(kind.__name__, 1)
    assert kind("what", "what to do").exit_code == kind.exit_code


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_has_one_line_what_happened_and_one_line_what_to_do(
    kind: type[SemLoopError],
) -> None:
    error = kind("It broke.", "Fix it.")
    assert str(error) == "It broke.\nFix it."
    assert (error.what, error.todo) == ("It broke.", "Fix it.")
    assert str(kind("It broke.")) == "It broke."


def test_every_error_is_either_terminal_or_transient() -> None:
    subclasses = set(CLASSES) - {SemLoopError}
    assert {kind for kind in subclasses if issubclass(kind, Terminal)}.isdisjoint(
        kind for kind in subclasses if issubclass(kind, Transient)
    )
    assert all(issubclass(kind, (Terminal, Transient)) for kind in subclasses)


def test_the_tree_in_the_module_docstring_contains_every_error() -> None:
    for kind in CLASSES:
        assert f" {kind.__name__} " in f" {errors.__doc__} ".replace("\n", " ")


def test_every_error_is_an_exception_but_not_an_oserror() -> None:
    for kind in CLASSES:
        assert issubclass(kind, Exception)
        assert not issubclass(kind, OSError)
