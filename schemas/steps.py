"""How long work tells how far it is."""

from collections.abc import Callable

# Called with the name of a step, how much of it is done, and how much there is.
Show = Callable[[str, int, int], None]
