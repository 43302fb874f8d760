"""Key names whose values are private."""

import re
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache

from semloop.errors import ConfigError
from semloop.redaction.pii_patterns import PSEUDONYM

# Size of the cache of key names, which repeat from event to event.
KEY_NAMES_MAX = 4096
KEY_BYTES_MAX = 64

# Values under these key names are private. A name is split into lower-case words and
# matches if it contains one of these as whole words; the longest one names the class.
SECRET_KEYS = (
    "password", "passwords", "passwd", "passphrase", "passcode", "pwd", "token",
    "secret", "secrets", "client secret", "authorization", "proxy authorization",
    "bearer", "jwt", "api key", "api keys", "apikey", "apikeys", "access key",
    "private key", "signing key", "encryption key", "credential", "credentials",
    "cookie", "cookies",
)  # fmt: skip
# The same, but in plain text, where they may be headings of prose, only if the value
# contains a digit.
NUMBER_KEYS = (
    "dob", "date of birth", "birth date", "birthdate", "birthday", "birth day", "otp",
    "ssn", "social security", "social security number", "cvv", "cvc", "iban",
    "card number", "card no", "phone", "phones", "phone number", "phone numbers",
    "mobile", "mobile number", "telephone", "telephone number", "passport",
    "passport no", "passport number", "driver license", "drivers license",
    "license number", "national id", "tax id", "account number", "routing number",
)  # fmt: skip
# With one of these words the value is a count or a description, not a secret.
COUNTING_WORDS = {
    "count", "counts", "expires", "length", "limit", "limits", "max", "maximum", "min",
    "minimum", "type", "usage",
}  # fmt: skip
# The same for names with `token`: they count a language model's tokens.
MODEL_TOKEN_WORDS = {
    "budget", "cached", "completion", "input", "output", "per", "prompt", "rate",
    "reasoning", "total", "used",
}  # fmt: skip
# Classes that are compared by their digits only, in any notation.
DIGIT_CLASSES = {
    "card_no", "card_number", "mobile", "mobile_number", "phone", "phone_number",
    "phone_numbers", "phones", "social_security_number", "ssn", "telephone",
    "telephone_number",
}  # fmt: skip
# Classes whose values extend to the end of the line: they contain spaces.
LINE_CLASSES = ("authorization", "proxy_authorization", "cookie", "cookies")

WORDS = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class KeyNames:
    """Classifies key names by whether their values are private."""

    def __init__(self, own: Sequence[str] = ()) -> None:
        """Create the matcher.

        Args:
            own: key names of the settings; unlike built-in names they match next to any
                other words.

        Raises:
            ConfigError: a name without a letter or digit.
        """
        self._own = {_words(name.encode()) for name in own}
        if () in self._own:
            msg = "A name in redact_keys has no letter or digit."
            raise ConfigError(
                msg, "Use key names of JSON objects, for example ticket_number."
            )
        names = (*SECRET_KEYS, *NUMBER_KEYS)
        self._known = {tuple(name.split()) for name in names} | self._own
        self._longest = max(map(len, self._known))
        self._cached = lru_cache(KEY_NAMES_MAX)(self._of)
        self.gate = _key_gate(self._known)

    def of(self, name: bytes) -> str | None:
        """Return the class of a key's values, None if they are not private."""
        return (self._of if len(name) > KEY_BYTES_MAX else self._cached)(name)

    def heading(self, phrase: bytes) -> str | None:
        """Return the class for words of a text before a colon or an equals sign.

        In prose only the last words match: `date of birth:`, not `secret of success:`.
        """
        words = _words(phrase)
        for size in range(min(self._longest, len(words)), 1, -1):
            if found := self._first_private(words[-size:], (0,), size):
                return found
        return self.of(phrase.rsplit(b" ", 1)[-1])

    def _of(self, name: bytes) -> str | None:
        # A pseudonym within a key is not a word, but separates the words around it.
        words = _words(PSEUDONYM.sub(b" 0 ", name))
        for size in range(self._longest, 0, -1):
            if found := self._first_private(words, range(len(words) - size + 1), size):
                return found
        return None

    def _first_private(
        self, words: tuple[str, ...], starts: Iterable[int], size: int
    ) -> str | None:
        """Return the first private sequence of `size` words, at one of `starts`."""
        counts = not COUNTING_WORDS.isdisjoint(words)
        counts_tokens = counts or not MODEL_TOKEN_WORDS.isdisjoint(words)
        for start in starts:
            sequence = words[start : start + size]
            exempt = counts_tokens if sequence == ("token",) else counts
            if sequence in self._own or (sequence in self._known and not exempt):
                return "_".join(sequence)
        return None


def _words(name: bytes) -> tuple[str, ...]:
    """Split a name of any style into words: `dateOfBirth`, `x-api-key`, `cvv2`."""
    return tuple(word.decode().lower() for word in WORDS.findall(name))


def _key_gate(known: Set[tuple[str, ...]]) -> str:
    """Return an expression that matches raw text if any known name is in it."""
    # Between words: any character but letters and digits, or an escape sequence.
    separator = r"(?:[^0-9A-Za-z]|\\[bfnrtu][0-9A-Fa-f]{0,4})*"
    # No lower-case letter may follow a name: `token` does not match `tokens`.
    names = sorted(known)
    letters = "|".join(separator.join(name) for name in names if name[-1].isalpha())
    digits = "|".join(separator.join(name) for name in names if name[-1].isdigit())
    gate = f"(?i:{letters})(?:[^a-z]|$)"
    return f"{gate}|(?i:{digits})" if digits else gate
