"""Decides whether a value is private, given the name before it."""

import re

from semloop.redaction.finding import OPAQUE
from semloop.redaction.key_names import Name, Values
from semloop.redaction.shapes import Strength, is_message, strength

NOT_DIGITS = re.compile(rb"[^0-9]+")
# Classes that are compared by their digits only, in any notation.
DIGIT_CLASSES = frozenset(("card", "phone", "ssn", "cvv", "otp"))
SCHEME = re.compile(
    rb"\s*(?:basic|bearer|digest|token|negotiate|ntlm|apikey|api-key|hmac|oauth|hawk"
    rb"|aws4-hmac-sha256|sharedkey|sharedaccesssignature|bot|key)\b[ \t=:]+(\S.*)",
    re.IGNORECASE | re.DOTALL,
)
LICENSE = re.compile(rb"[0-9A-Z]{4,6}(?:-[0-9A-Z]{4,6}){2,}")
# A number of a kind: digits with separators, letters only next to them.
NUMBER_SHAPES = {
    "cvv": re.compile(rb"[0-9]{3,4}"),
    "otp": re.compile(rb"[0-9](?:[ \-]?[0-9]){3,9}|[A-Z0-9]{6,10}"),
    "date_of_birth": re.compile(
        rb"[0-9]{1,4}[ ./\-]{1,2}[0-9]{1,2}[ ./\-]{1,2}[0-9]{1,4}(?:[T ][0-9:.Z+\-]*)?"
        rb"|[0-9]{1,2}(?:st|nd|rd|th|er|\.)? ?(?:de |of )?[A-Za-z\xff]{3,10}\.?,? ?(?:de )?"
        rb"[0-9]{2,4}|[A-Za-z\xff]{3,10}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{2,4}"
        rb"|(?:19|20)[0-9]{6}|[0-9]{6}|[0-9]{4}\xff ?[0-9]{1,2}\xff ?[0-9]{1,2}\xff?",
        re.IGNORECASE,
    ),
    "phone": re.compile(
        rb"(?:\+|%2[Bb])?[(]?[0-9](?:[ ().\-/]{0,3}[0-9]){5,16}(?: ?(?:x|ext\.?) ?[0-9]{1,6})?"
    ),
    "card": re.compile(rb"[0-9](?:[ \-._]{0,2}[0-9]){11,18}"),
    "ssn": re.compile(rb"[0-9]{3}[ \-.]?[0-9]{2}[ \-.]?[0-9]{4}"),
}
ANY_NUMBER = re.compile(rb"[A-Za-z]{0,6}[0-9A-Za-z](?:[ .\-/]{0,2}[0-9A-Za-z])*")
FLOAT = re.compile(rb"[0-9]+\.[0-9]+(?:e-?[0-9]+)?")


def is_private(name: Name, value: bytes, least: Strength) -> bool:
    """Return whether a value behind a name is private.

    Args:
        name: the class of the name.
        value: the whole value.
        least: what the place demands of a password; other classes may demand more.
    """
    if OPAQUE in value or not value.strip():
        return False
    match name.values:
        case Values.ALL:
            return True
        case Values.TEXTS:
            return strength(value) >= least and not is_message(value)
        case Values.MIXED:
            if name.name == "license_key" and LICENSE.fullmatch(value):
                return True
            return strength(value) >= max(least, Strength.MIXED)
        case Values.STRONG:
            return b" " not in value and strength(value) >= Strength.STRONG
        case Values.NUMBERS:
            return is_number(name.name, value)
        case Values.HEADERS:
            if found := SCHEME.fullmatch(value):
                return strength(found[1]) > Strength.NONE
            return b" " not in value.strip() and strength(value) >= Strength.MIXED


def is_number(name: str, value: bytes) -> bool:
    """Return whether a value has the form of a date, phone number, id, ..."""
    value = value.strip()
    if shape := NUMBER_SHAPES.get(name):
        return bool(shape.fullmatch(value))
    digits = len(NOT_DIGITS.sub(b"", value))
    return (
        digits >= 4
        and bool(ANY_NUMBER.fullmatch(value))
        and not FLOAT.fullmatch(value)
        and digits * 3 >= len(value)
    )


def normal_form(name: str, value: bytes) -> bytes:
    """Normalize a value, so that equal values of a class get equal pseudonyms."""
    value = value.strip()
    if name in DIGIT_CLASSES:
        value = value.removeprefix(b"%2B").removeprefix(b"%2b")
        return NOT_DIGITS.sub(b"", value) or value
    if name in ("iban", "national_id"):
        return re.sub(rb"[ .\-/]", b"", value).upper()
    return value
