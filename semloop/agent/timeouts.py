"""Timeouts as the callers of `flush` give them."""

import math


def usable_s(timeout_s: float) -> float:
    """Return a timeout in seconds as a number; what is not a number is 0.

    Applications compute timeouts: the result may be NaN, or come from elsewhere.
    """
    try:
        seconds = float(timeout_s)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return 0.0
    return 0.0 if math.isnan(seconds) else seconds
