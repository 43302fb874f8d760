"""All finders of private content in text, in the order of precedence."""

import re

from semloop.redaction import (
    addresses,
    command_lines,
    credentials,
    network,
    numbers,
    people,
    private_keys,
)
from semloop.redaction.choice import Choice
from semloop.redaction.columns import column_finder
from semloop.redaction.cues import cue_finder
from semloop.redaction.finding import Finder, Found, pattern_finder
from semloop.redaction.key_names import NameTable
from semloop.redaction.national_phones import national_phones
from semloop.redaction.shapes import Strength, strength
from semloop.redaction.vendor_keys import VENDOR_KEYS

# A UUID, or the hex digits of a hash: an id, not a secret.
IDENTIFIER = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]+|[0-9]+")


def _random(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end]
    if IDENTIFIER.fullmatch(found) or strength(found) < Strength.STRONG:
        return None
    return Found(found, len(found))


RANDOM = pattern_finder(
    "random",
    r"[0-9A-Za-z_+/=\-]{24}",
    r"(?:^|[^0-9A-Za-z_+/=\-])([0-9A-Za-z_+/=\-]{24,})",
    _random,
    rule="random string",
)


def built_in_finders(names: NameTable, choice: Choice) -> list[Finder]:
    """Return the finders that a choice asks for."""
    found = [
        cue_finder(names),
        column_finder(names),
        *private_keys.FINDERS,
        VENDOR_KEYS,
        *credentials.FINDERS,
        *command_lines.FINDERS,
    ]
    if choice.level != "keys":
        found += [
            # Before phone numbers, which parts of them look like.
            *numbers.FINDERS,
            *people.FINDERS,
            *national_phones(choice.countries),
            *addresses.FINDERS,
            *network.finders(keep_private=not choice.private_ips),
        ]
    if choice.level == "strict":
        found.append(RANDOM)
    return found
