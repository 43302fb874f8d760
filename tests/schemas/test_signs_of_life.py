"""What the probes of an orchestrator conclude from the signs of life of the workers."""

from schemas.signs_of_life import SignsOfLife


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_process_is_ready_once_every_worker_owns_its_tables_and_has_read() -> None:
    signs = SignsOfLife()
    assert not signs.is_ready(30)
    signs.beat(0)
    assert signs.is_ready(30)
    signs.wait(1)
    assert not signs.is_ready(30)
    signs.beat(1)
    assert signs.is_ready(30)


def test_one_silent_worker_of_several_makes_a_process_neither_ready_nor_live() -> None:
    clock = Clock()
    signs = SignsOfLife(clock)
    signs.beat(0)
    signs.beat(1)
    clock.now_s += 31
    signs.beat(1)
    assert (signs.is_ready(30), signs.is_live(30)) == (False, False)
    assert signs.is_live(31)
    signs.beat(0)
    assert (signs.is_ready(30), signs.is_live(30)) == (True, True)


def test_a_start_that_hangs_ends_and_one_that_waits_for_its_input_does_not() -> None:
    clock = Clock()
    signs, hanging = SignsOfLife(clock), SignsOfLife(clock)
    for _ in range(100):
        clock.now_s += 29
        signs.wait(0)
    assert (signs.is_live(30), hanging.is_live(30)) == (True, False)


def test_a_worker_whose_input_ended_is_not_missed() -> None:
    clock = Clock()
    signs = SignsOfLife(clock)
    signs.beat(0)
    signs.beat(1)
    signs.end(0)
    clock.now_s += 31
    signs.beat(1)
    assert signs.is_live(30)
