"""Whether it is time again, by a wall clock that may be put back."""


def is_over(now_s: float, since_s: float, interval_s: float) -> bool:
    """Whether so much time has passed, or nobody can tell: the clock was put back.

    Else a clock that goes back an hour would hold commits up for an hour.
    """
    return not 0 <= now_s - since_s < interval_s
