"""The form of a vendor's key."""

from enum import Enum
from typing import NamedTuple


class Rule(Enum):
    """What the characters after the prefix must look like."""

    ANY = "any"  # the prefix is like nothing else
    DIGIT = "digit"  # at least one digit: the prefix is a word too
    RANDOM = "random"  # letters with digits, several changes between them


class KeyFormat(NamedTuple):
    """One kind of key.

    `pattern` is an expression of RE2 for the whole key; no letter or digit is before
    it. `prefix` is the part of it that every key contains, or empty. `example` is made
    up. `documented` is where the vendor, or a scanner of secrets, documents the format.
    """

    vendor: str
    name: str
    prefix: str
    pattern: str
    rule: Rule
    example: str
    documented: str
