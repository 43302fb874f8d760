"""Finds vendors' keys by the table of their formats."""

import re

from semloop.redaction.finding import Found, latin1, pattern_finder
from semloop.redaction.numbers import RAW_START
from semloop.redaction.shapes import changes_of
from semloop.redaction.vendors import KEY_FORMATS, KeyFormat
from semloop.redaction.vendors.key_format import Rule

# A name such as `sk-learn-1` has one or two changes between letters and digits.
CHANGES_MIN = 3
DIGIT = re.compile(rb"[0-9]")
# A repetition in an expression. The gate needs no more than the beginning of a key, and
# an automaton for whole lengths would be large.
REPETITION = re.compile(r"\{([0-9]+)(?:,[0-9]*)?\}")
GATE_REPEATS_MAX = 8

WHOLE = [(latin1(f"^(?:{form.pattern})$"), form) for form in KEY_FORMATS]


def fits(form: KeyFormat, key: bytes) -> bool:
    """Return whether a match of the pattern looks like a key, not like a word."""
    match form.rule:
        case Rule.ANY:
            return True
        case Rule.DIGIT:
            return bool(DIGIT.search(key[len(form.prefix) :]))
        case Rule.RANDOM:
            return changes_of(key[len(form.prefix) :]) >= CHANGES_MIN


def _key(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end]
    if any(fits(form, found) for regex, form in WHOLE if regex.search(found)):
        return Found(found, len(found))
    return None


def _shortened(pattern: str) -> str:
    return REPETITION.sub(
        lambda match: f"{{{min(int(match[1]), GATE_REPEATS_MAX)},}}", pattern
    )


VENDOR_KEYS = pattern_finder(
    "api_key",
    f"{RAW_START}(?:{'|'.join(_shortened(form.pattern) for form in KEY_FORMATS)})",
    f"(?:^|[^0-9A-Za-z])({'|'.join(form.pattern for form in KEY_FORMATS)})",
    _key,
    rule="key format of a vendor",
)
