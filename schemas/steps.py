"""The progress callback of long-running work."""

from collections.abc import Callable

# Called with the name of a step, the amount done, and the total amount.
ProgressCallback = Callable[[str, int, int], None]
