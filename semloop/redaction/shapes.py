"""Judges by its shape whether a value is a secret, a word, code or a placeholder.

What follows `password` may be a password, but also a type, a call, a message or a
variable. The stronger a value looks, the weaker may be the sign that it is a secret.
"""

import re
from enum import IntEnum
from functools import cache, lru_cache
from importlib.resources import files

from semloop.redaction.finding import OPAQUE


class Strength(IntEnum):
    """How much a value looks like a secret."""

    NONE = 0  # empty, a placeholder, a constant, or code
    TEXT = 1  # words: a secret only as the value of a key that names nothing else
    MIXED = 2  # letters with digits, or random letters
    STRONG = 3  # several changes between letters and digits: hardly a name


# A longer value is judged by its beginning.
LENGTH_MAX = 96
CACHED = 2**12

CONSTANTS = frozenset(
    b"null none true false nil undefined nan yes no on off str string bytes int float"
    b" bool boolean number object any unknown void optional password passwd passphrase"
    b" pass pwd pw secret token key example changeme redacted hidden masked removed"
    b" required missing default test optional[str] string[] unset empty".split()
)
PLACEHOLDER = re.compile(
    rb"\$?\{.*\}|\$[A-Za-z_(]|%[({A-Za-z]|<[^>]*>?$|\{\{|#\{|@\{|!\w|__\w+__$"
    rb"|[*.xX\-_#?\x1a]+$|\[?(?:redacted|masked|hidden|filtered|removed|secret|secure)\]?$"
    rb"|(?:your|my|the|some|insert|enter|replace|put|add|change)(?:[-_ ][a-z]+)++$"
    rb"|(?:env|op|vault|secret|file|arn|ssm|awssm|gcpsm|ref)[:+](?://|arn|[a-z])"
    rb"|ENC\[|\(\w*\)$|x{4,}|\*{3,}|example|dummy|sample|placeholder|changeme",
    re.IGNORECASE,
)
# A mask, a regular expression, or a template.
MASK = re.compile(
    rb"x{4,}|X{4,}|\*{3,}|\.{3}|<[a-z][\w \-]*>|\$\{|\{\w*\}|\{\{|\(\?|\[\^|[A-Za-z0-9]-[Zz9]\]|\)[*+?]"
    rb"|\.[*+]|\][*+{]|\\[dwsSWDb]"
)
# Constants, calls, look-ups, paths of names, numbers with a unit, dates, versions.
CODE = re.compile(
    rb"[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)++[(\[]?.*"
    rb"|[A-Za-z_$][\w$.]*[(\[].*"
    rb"|[~.]{0,2}/[\w./~\-{}$@]*|[A-Za-z]:[\\/].*|\w+://.*|\\\w.*|[&|@!]\w.*"
    rb"|v?[0-9]+(?:\.[0-9]+)++(?:[\-.+]?(?:rc|a|b|alpha|beta|dev|post)\.?[0-9]*)?"
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?"
    rb"|[0-9.]+ ?(?:[kmgt]i?b?|ms|us|ns|s|min|h|d|days?|hours?|chars?|bytes?|px|em|%)?"
    rb"|0x[0-9A-Fa-f]{1,8}|#[0-9A-Fa-f]{3,8}|--?\w.*|[\w\-]+\.\w{1,5}",
    re.IGNORECASE | re.DOTALL,
)
UPPER_NAME = re.compile(rb"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)++")
# Algorithms, encodings and standards whose names contain digits.
TECHNICAL = re.compile(
    rb"(?:sha|shake|md|utf|ucs|base|aes|des|rc|cp|iso|rfc|oauth|openid|ipv|http|py|x509"
    rb"|python|ec|ed|curve|secp|rs|es|hs|ps|pbkdf|argon|bcrypt|scrypt|hmac|rsa|tls|ssl"
    rb"|web|latin|win|int|uint|float|amd|arm|level|oauth2|saml|phase|step|x86"
    rb"|part|version|line|row|col|item|test|user|node|host|server|client|log|file|page)"
    rb"[-_.]?[0-9]+(?:[-_./]?[a-z]{0,24}[0-9]{0,4}){0,2}",
    re.IGNORECASE,
)
# Words of messages: `Password: must have 8 characters`.
MESSAGE = re.compile(
    rb"(?i)\b(?:must|should|cannot|can't|invalid|incorrect|wrong|missing|required|is|are"
    rb"|was|be|your|please|enter|not|has|have|too|least|the|for|forgot|forgotten|expired"
    rb"|of|to|and|or|with|field|characters|min|max|minimum|maximum|chars|length|at|in|on"
    rb"|step|version|no|see|use|using|by|from|new|old|change|reset|per|each|only|any)\b"
)
LETTER, DIGIT = re.compile(rb"[A-Za-z\xff]"), re.compile(rb"[0-9]")
WORD = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
CHANGES = re.compile(rb"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
# Words in the style of names: with separators, or in camel case.
PIECES = re.compile(
    rb"(?:[A-Za-z]++[0-9]{0,2}+|[0-9]++)"
    rb"(?:[-_./:+@ ]++(?:[A-Za-z]++[0-9]{0,2}+|[0-9]++)|[A-Z][A-Za-z]*+[0-9]{0,2}+)*+"
)
# Signs between letters that names and sentences do not have.
SIGNS = re.compile(rb"[A-Za-z][!@#$^&*+~|\\\"]+[A-Za-z]")
VOWEL = re.compile(rb"[aeiouyAEIOUY\xff]")
CLOSE_CONSONANTS = re.compile(rb"[bcdfghjklmnpqrstvwxz]{5}", re.IGNORECASE)


@lru_cache(CACHED)
def strength(value: bytes) -> Strength:
    """Return how much a value looks like a secret."""
    value = value[:LENGTH_MAX].strip()
    lower = value.lower()
    if not value or OPAQUE in value or lower.rstrip(b"?!.;,:") in CONSTANTS:
        return Strength.NONE
    if UPPER_NAME.fullmatch(value) or PLACEHOLDER.match(value) or MASK.search(value):
        return Strength.NONE
    spaced = b" " in value
    letters = bool(LETTER.search(value))
    digits = bool(DIGIT.search(value))
    if not letters or not digits or len(value) < 6:
        return _without_digits(value) if letters else Strength.TEXT
    if not spaced and any(
        len(part) >= 12 and changes_of(part) >= 4 for part in value.split(b".")
    ):
        return Strength.STRONG
    if not spaced and (CODE.fullmatch(value) or TECHNICAL.fullmatch(value)):
        return Strength.TEXT if value.isalnum() else Strength.NONE
    if spaced:
        parts = max(strength(part) for part in value.split() if part != value)
        if MESSAGE.search(value):
            return min(parts, Strength.MIXED)
        # A password may contain a space; a sentence has more of them.
        return max(parts, Strength.MIXED) if value.count(b" ") < 3 else parts
    words = [word for word in WORD.findall(value) if len(word) > 2]
    if len(words) > 1 and _worded(value) and PIECES.fullmatch(value):
        return Strength.TEXT
    changes = changes_of(value)
    cases = value.lower() != value and value.upper() != value
    if len(value) >= 7 and (changes >= 3 or (changes and cases and not _worded(value))):
        return Strength.STRONG
    if len(value) >= 16 and changes and not _worded(value):
        return Strength.STRONG
    return Strength.MIXED


def _without_digits(value: bytes) -> Strength:
    """Judge a value of letters and signs: random letters are a secret."""
    if b" " in value or CODE.fullmatch(value):
        return Strength.TEXT
    if len(value) >= 6 and SIGNS.search(value):
        return Strength.MIXED
    if len(value) < 12:
        return Strength.TEXT
    return Strength.TEXT if _worded(value) else Strength.MIXED


def _worded(value: bytes) -> bool:
    """Return whether the letters of a value form words, as those of a name do."""
    found = [word.lower() for word in WORD.findall(value) if len(word) > 2]
    if not found:
        return False
    known = sum(len(word) for word in found if _is_word(word))
    return known * 10 >= sum(map(len, WORD.findall(value))) * 7


def _is_word(word: bytes) -> bool:
    if word.decode("latin-1") in _vocabulary():
        return True
    # A compound, or a name: it can be pronounced.
    return (
        len(word) < 16
        and bool(VOWEL.search(word))
        and not CLOSE_CONSONANTS.search(word)
    )


@cache
def _vocabulary() -> frozenset[str]:
    """Return the words of the embedder's vocabulary, of three letters and more."""
    text = files("semloop.embedders").joinpath("vocabulary.txt").read_text("utf-8")
    return frozenset(w for w in text.split("\n") if len(w) > 2 and w.isalpha())


def changes_of(value: bytes) -> int:
    """Return how often letters and digits follow one another."""
    return len(CHANGES.findall(value))


def is_placeholder(value: bytes) -> bool:
    """Return whether a value is a place for another one."""
    return (
        bool(PLACEHOLDER.match(value) or MASK.search(value))
        or value.lower() in CONSTANTS
    )


def is_message(value: bytes) -> bool:
    """Return whether a value is a sentence about a secret, not one."""
    return bool(MESSAGE.search(value)) and value.count(b" ") > 0
