"""The page of the dead letters' reasons, from `schemas/dead_letter.py`."""

from docs.generate.docstrings import field_texts
from docs.generate.markdown import table
from schemas.dead_letter import Reason
from semloop.command.health.reasons import MEANINGS

INTRODUCTION = """# Reasons of dead letters

A record that cannot become an event is stored in `dead_letters` with one of these
reasons; `detail` names the field and the rule. `semloop dlq ls` lists them. Sources:
`schemas/dead_letter.py`, `semloop/command/health/reasons.py`.

"""


def page() -> str:
    """Return the page."""
    texts = field_texts(Reason)
    rows = [
        (f"`{reason.value}`", texts[reason.name], MEANINGS[reason]) for reason in Reason
    ]
    return INTRODUCTION + table(("reason", "when", "what to do"), rows)
