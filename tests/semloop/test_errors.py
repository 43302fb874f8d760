"""What an error says, and the exit code that operators and supervisors go by."""

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
    "PeerLost": 6,
}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_exit_code_is_one_but_where_a_supervisor_acts_on_it(
    kind: type[SemLoopError],
) -> None:
    assert kind.exit_code == OTHER_CODES.get(kind.__name__, 1)
    assert kind("what", "what to do").exit_code == kind.exit_code


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_is_one_line_what_and_one_line_what_to_do(
    kind: type[SemLoopError],
) -> None:
    error = kind("It broke.", "Mend it.")
    assert str(error) == "It broke.\nMend it."
    assert (error.what, error.todo) == ("It broke.", "Mend it.")
    assert str(kind("It broke.")) == "It broke."


def test_every_error_is_either_final_or_worth_another_try() -> None:
    apart = set(CLASSES) - {SemLoopError}
    assert {kind for kind in apart if issubclass(kind, Terminal)}.isdisjoint(
        kind for kind in apart if issubclass(kind, Transient)
    )
    assert all(issubclass(kind, (Terminal, Transient)) for kind in apart)


def test_the_drawing_at_the_top_names_every_error() -> None:
    for kind in CLASSES:
        assert f" {kind.__name__} " in f" {errors.__doc__} ".replace("\n", " ")


def test_all_errors_are_caught_by_one_name_and_none_is_a_plain_exit() -> None:
    for kind in CLASSES:
        assert issubclass(kind, Exception)
        assert not issubclass(kind, OSError)
