"""Finds vendors' keys by the table of their formats."""

import re
from collections.abc import Iterator

from semloop.redaction.finding import Finder, Span, latin1
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

WHOLE = [(latin1(form.pattern), form) for form in KEY_FORMATS]


def fits(form: KeyFormat, key: bytes) -> bool:
    """Return whether a match of the pattern looks like a key, not like a word."""
    match form.rule:
        case Rule.ANY:
            return True
        case Rule.DIGIT:
            return bool(DIGIT.search(key[len(form.prefix) :]))
        case Rule.RANDOM:
            return changes_of(key[len(form.prefix) :]) >= CHANGES_MIN


def _find(text: bytes) -> Iterator[Span]:
    at = 0
    while match := BEGINNING.search(text, at):
        start, at = match.span(1)
        matches = ((regex.match(text, start), form) for regex, form in WHOLE)
        keys = [m[0] for m, form in matches if m and fits(form, m[0])]
        if keys:
            key = max(keys, key=len)
            at = start + len(key)
            yield Span(start, at, "api_key", key)


def _shortened(pattern: str) -> str:
    return REPETITION.sub(
        lambda match: f"{{{min(int(match[1]), GATE_REPEATS_MAX)},}}", pattern
    )


SHORTENED = "|".join(_shortened(form.pattern) for form in KEY_FORMATS)
BEGINNING = latin1(f"(?:^|[^0-9A-Za-z])({SHORTENED})")
VENDOR_KEYS = Finder(f"{RAW_START}(?:{SHORTENED})", _find, "key format of a vendor")
