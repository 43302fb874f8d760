"""Retries of a step that may fail temporarily."""

from collections.abc import Iterator

import pytest
import stamina
from stamina.instrumentation import set_on_retry_hooks

from semloop.errors import (
    BrokerUnavailable,
    FileDamaged,
    LakeError,
    SemLoopError,
    StorageUnavailable,
    Transient,
)
from semloop.retry import DAMAGED_ATTEMPTS, retry


class Step:
    """Raises the given errors, one per call, then returns 7."""

    def __init__(self, *errors: SemLoopError) -> None:
        self._errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return 7


@pytest.fixture(autouse=True)
def _three_attempts_without_pauses() -> Iterator[None]:
    set_on_retry_hooks([])
    with stamina.set_testing(True, attempts=3):
        yield
    set_on_retry_hooks(None)


def test_a_step_is_retried_until_it_succeeds() -> None:
    step = Step(StorageUnavailable("a"), StorageUnavailable("b"))
    assert (retry(step, on=StorageUnavailable, seconds=60), step.calls) == (7, 3)


@pytest.mark.parametrize("on", [StorageUnavailable, BrokerUnavailable])
def test_the_last_error_contains_the_retry_duration(on: type[Transient]) -> None:
    step = Step(*(on(f"It failed {n}.", "Wait.") for n in range(3)))
    with pytest.raises(on) as error:
        retry(step, on=on, seconds=0.5)
    assert str(error.value) == "It failed 2 (tried for 0.5 s)\nWait."


@pytest.mark.parametrize("error", [LakeError("x"), BrokerUnavailable("y")])
def test_another_error_is_raised_without_a_retry(error: SemLoopError) -> None:
    step = Step(error)
    with pytest.raises(type(error)) as raised:
        retry(step, on=StorageUnavailable, seconds=60)
    assert (raised.value, step.calls) == (error, 1)


def test_a_damaged_file_ends_the_retries_without_their_duration() -> None:
    with stamina.set_testing(False):
        step = Step(*(FileDamaged(f"File {n} is cut.", "Copy it.") for n in range(9)))
        with pytest.raises(FileDamaged) as error:
            retry(step, on=StorageUnavailable, seconds=1_000)
    last = DAMAGED_ATTEMPTS - 1
    assert str(error.value) == f"File {last} is cut.\nCopy it."
    assert step.calls == DAMAGED_ATTEMPTS


def test_a_file_that_is_damaged_for_a_moment_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("semloop.retry.DAMAGED_S", 1_000.0)
    with stamina.set_testing(False):
        step = Step(*[FileDamaged("a")] * (2 * DAMAGED_ATTEMPTS))
        assert retry(step, on=StorageUnavailable, seconds=1_000) == 7


def test_a_file_that_another_process_replaced_is_looked_up_again() -> None:
    with stamina.set_testing(False):
        damaged = [FileDamaged("a")] * (DAMAGED_ATTEMPTS - 1)
        step = Step(*damaged, StorageUnavailable("b"), *damaged)
        assert retry(step, on=StorageUnavailable, seconds=1_000) == 7


def test_a_step_runs_once_even_with_a_timeout_near_zero() -> None:
    with stamina.set_testing(False):
        step = Step(StorageUnavailable("a"))
        with pytest.raises(StorageUnavailable):
            retry(step, on=StorageUnavailable, seconds=1e-9)
        assert step.calls == 1
