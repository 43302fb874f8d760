"""How many examples a property test tries: few in every run, many in a storm."""

import hypothesis

# Each run draws other examples, so that rare faults are found over many runs.
EXAMPLES = 15
# `pytest -m storm` runs all property tests, with this many.
EXAMPLES_IN_STORM = 1_000


def load_profile(*, storm: bool) -> None:
    """Set the number of examples of all property tests; before they are imported."""
    # The duration of an example depends on the machine, not on the code.
    hypothesis.settings.register_profile(
        "storm" if storm else "few",
        deadline=None,
        max_examples=EXAMPLES_IN_STORM if storm else EXAMPLES,
    )
    hypothesis.settings.load_profile("storm" if storm else "few")


def examples(count: int) -> hypothesis.settings:
    """Return settings for costly examples: `count`, and in a storm as many times more.

    Use it as a decorator: `@examples(8)`.
    """
    times = hypothesis.settings().max_examples // EXAMPLES
    return hypothesis.settings(max_examples=count * times)
