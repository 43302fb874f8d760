"""What counts as private: one table of patterns and one of key names.

Every expression is RE2 in its Latin-1 mode: it is linear on any input and sees bytes,
so text that is not UTF-8 needs no special case.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import re2
from stdnum import iban, luhn

from semloop.errors import ConfigError

# Names of keys repeat from event to event: this many are judged once.
KEY_NAMES_MAX = 4096
KEY_BYTES_MAX = 64

PSEUDONYM = re.compile(rb"(<[a-z][a-z0-9_]*+:[0-9a-f]{12}>)")


class Span(NamedTuple):
    """A private part of a text, with its class and normal form."""

    start: int
    end: int
    name: str
    normal: bytes


class Found(NamedTuple):
    """A candidate that holds: its normal form, and how many of its bytes it covers."""

    normal: bytes
    length: int


Finder = Callable[[bytes], Iterator[Span]]


def latin1(pattern: str, never_capture: bool = False) -> Any:
    """A compiled RE2 expression for bytes."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = never_capture
    return re2.compile(pattern.encode("ascii"), options)


class Pattern(NamedTuple):
    """One kind of private text.

    `gate` hits wherever `find` can match, in raw JSON too. Group 1 of `find` is a
    candidate, judged by `check`. With `retry_bytes` the search goes on so far into a
    refused candidate, otherwise behind it; only short candidates have it.
    """

    name: str
    gate: str
    find: str
    check: Callable[[bytes], Found | None]
    retry_bytes: int = 0

    def finder(self) -> Finder:
        """Finds all that the pattern matches in a text."""
        regex = latin1(self.find)

        def find(text: bytes) -> Iterator[Span]:
            at = 0
            while match := regex.search(text, at):
                start, at = match.span(1)
                found = self.check(match[1])
                if found:
                    at = start + found.length
                    yield Span(start, at, self.name, found.normal)
                elif self.retry_bytes:
                    at = min(at, start + self.retry_bytes)

        return find


def own_finder(name: str, regex: Any) -> Finder:
    """Finds what a pattern of the settings matches; nothing where that is empty."""
    return lambda text: (
        Span(match.start(), match.end(), name, match[0])
        for match in regex.finditer(text)
        if match[0]
    )


def any_text(found: bytes) -> Found:
    """Accepts whatever matched."""
    return Found(found, len(found))


def digits_only(text: bytes) -> bytes:
    """The digits of a number that people write with separators."""
    return re.sub(rb"[^0-9]", b"", text)


def _email(found: bytes) -> Found:
    return Found(found.replace(b"%40", b"@").lower(), len(found))


def _with_digit(found: bytes) -> Found | None:
    return any_text(found) if re.search(rb"[0-9]", found) else None


def _api_key(found: bytes) -> Found | None:
    # `sk-learn-compatible-estimator` is a word: keys are random and hold digits.
    return _with_digit(found) if found.startswith(b"sk-") else any_text(found)


CARD_ISSUERS = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    rb"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    rb"|3[47]\d{13}"  # American Express
    rb"|(?:6011|64[4-9]\d|65\d\d|62\d\d)\d{12,15}"  # Discover, UnionPay
    rb"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    rb"|3(?:0[0-5]|[689]\d)\d{11,16}"  # Diners Club
    rb"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{9,15}"  # Maestro
)


def card(found: bytes) -> Found | None:
    """A payment card: an issuer's prefix, its length and the Luhn digit."""
    # A number that follows the card looks like one more group of it.
    for end in (len(found), max(found.rfind(b" "), found.rfind(b"-"), 0)):
        number = digits_only(found[:end])
        if CARD_ISSUERS.fullmatch(number) and luhn.is_valid(number.decode()):
            return Found(number, end)
    return None


def _iban(found: bytes) -> Found | None:
    # Words that follow the number look like more groups of it: give them back.
    for end in range(len(found), 14, -1):
        if found[end - 1 : end] != b" " and (found[end : end + 1] or b" ") == b" ":
            number = found[:end].replace(b" ", b"").upper()
            moved = number[4:] + number[:4]
            # The remainder first: it is cheap, and nearly all candidates fail it.
            digits = (str(int(letter, 36)) for letter in moved.decode())
            rest = int("".join(digits)) % 97
            if rest == 1 and iban.is_valid(number.decode(), check_country=False):
                return Found(number, end)
    return None


PHONE = re.compile(
    rb"\+1[ .\-/]{0,2}\(?[2-9]\d\d\)?[ .\-/]{0,2}[2-9]\d\d[ .\-/]{0,2}\d{4}"
    rb"|\+[2-9](?:[^0-9]*+\d){7,14}|(?:[^+0-9]*+\d){10,11}"
)


def _phone(found: bytes) -> Found | None:
    # A number that follows the phone number looks like more groups of it.
    for end in range(len(found), 7, -1):
        if not found[end : end + 1].isdigit() and PHONE.fullmatch(found, 0, end):
            return Found(digits_only(found[:end]), end)
    return None


def _ip(found: bytes) -> Found | None:
    text = found.rstrip(b":") if not found.endswith(b"::") else found
    if not re.search(rb"[0-9]", text):  # `dead::beef` is a name in C++
        return None
    try:
        return Found(str(ipaddress.ip_address(text.decode())).encode(), len(text))
    except ValueError:
        return None


def _jwt(found: bytes) -> Found | None:
    header = found.split(b".", 1)[0]
    try:
        decoded = base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4))
        msgspec.json.decode(decoded, type=dict[str, object])
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Found(found, len(found))


# In a fragment of JSON the letter of an escape such as `\n` touches what follows it.
ESCAPE = r"\\[bfnrt]"
START = rf"(?:{ESCAPE}|\b)"
# The same for gates, which see an escaped `\u00e9` where `find` sees the letter.
RAW_ESCAPE = r"\\(?:[bfnrt]|u[0-9A-Fa-f]{4})"
RAW_START = rf"(?:{RAW_ESCAPE}|\b)"
# No letter, digit or sign of a longer identifier before it.
APART = rf"(?:{ESCAPE}|^|[^0-9A-Za-z_.+\-])"
# Letters beyond ASCII: two bytes up to Arabic; quotes and dashes have three.
LETTER = r"(?:[0-9A-Za-z]|[\xc3-\xdf][\x80-\xbf])"
IBAN_COUNTRIES = (
    "AD|AE|AL|AT|AZ|BA|BE|BG|BH|BI|BR|BY|CH|CR|CY|CZ|DE|DJ|DK|DO|EE|EG|ES|FI|FK|FO|FR"
    "|GB|GE|GI|GL|GR|GT|HN|HR|HU|IE|IL|IQ|IS|IT|JO|KW|KZ|LB|LC|LI|LT|LU|LV|LY|MC|MD|ME"
    "|MK|MN|MR|MT|MU|NI|NL|NO|OM|PK|PL|PS|PT|QA|RO|RS|RU|SA|SC|SD|SE|SI|SK|SM|SO|ST|SV"
    "|TL|TN|TR|UA|VA|VG|XK|YE"
)

# Order matters: what may hold another stands before it.
PATTERNS = (
    Pattern(
        "private_key",
        r"PRIVATE KEY",
        # A block that was cut off is redacted to the end of the text.
        r"(-----BEGIN [0-9A-Z ]*PRIVATE KEY[A-Z ]*-----"
        r"(?:(?s:.*?)-----END [0-9A-Z ]*-----|(?s:.*)))",
        any_text,
    ),
    Pattern(
        "url_login",
        "@",
        r""":(?:\\*/){2}([^\s/?#"'<>\\]*:[^\s/?#"'<>\\]*)@""",
        any_text,
    ),
    Pattern("jwt", r"eyJ[\w\-]{5}", START + r"(eyJ[\w\-]{5,}(?:\.[\w\-]+){1,4})", _jwt),
    Pattern(
        "api_key",
        r"A[KS]IA[0-9A-Z]{4}|sk-[\w\-]{8}|gh[opsur]_\w{8}|github_pat_|xox[abprs]-|AIza\w"
        r"|[rs]k_(?:live|test)_",
        # AWS, OpenAI and Anthropic, GitHub, Slack, Google, Stripe.
        rf"{START}"
        r"(A[KS]IA[0-9A-Z]{16}\b|sk-[\w\-]{16,}|(?:gh[opsur]|github_pat)_\w{16,}"
        r"|xox[abprs]-[\w\-]{8,}|AIza[\w\-]{30,}|[rs]k_(?:live|test)_\w{10,})",
        _api_key,
    ),
    Pattern(
        "bearer", "(?i:bearer)", START + r"(?i:bearer)\s+([\w.~+/=\-]{8,})", _with_digit
    ),
    Pattern(
        "email",
        "@|%40",
        # A run beyond those letters (Chinese, or not UTF-8 at all) counts as a whole.
        rf"(?:{ESCAPE})?((?:(?:{LETTER}|[._%+'\-])+|[\x80-\xff]+)(?:@|%40)"
        r"(?:[0-9A-Za-z\-\x80-\xff]+\.)+(?:[A-Za-z]{2,}|[\x80-\xff]+))",
        _email,
    ),
    Pattern(
        "iban",
        RAW_START + rf"(?i:{IBAN_COUNTRIES})[0-9]{{2}}(?: ?[0-9A-Za-z]{{4}}){{2}} ?"
        r"[0-9A-Za-z]{3}(?: ?[0-9A-Za-z]){0,19}(?:[^0-9A-Za-z]|$)",
        START + rf"((?i:{IBAN_COUNTRIES})[0-9]{{2}}(?: ?[0-9A-Za-z]{{4}}){{2,7}}"
        r"(?: ?[0-9A-Za-z]{1,3})?)\b",
        _iban,
        retry_bytes=4,
    ),
    Pattern(
        "card",
        RAW_START + r"[2-6][0-9]{3}(?:[0-9]{9,15}(?:\W|$)"
        r"|[ \-][0-9]{4}[ \-][0-9]{4}[ \-][0-9]{4}(?:[^0-9]|$)|[ \-][0-9]{6}[ \-])",
        START + r"([2-6][0-9]{12,18}"
        r"|[2-6][0-9]{3}(?:[ \-][0-9]{4}){3}(?:[ \-][0-9]{1,3})?"
        r"|3[0-9]{3}[ \-][0-9]{6}[ \-][0-9]{4,5})\b",
        card,
        retry_bytes=4,
    ),
    Pattern(
        "phone",
        r"\+[1-9](?:[ ().\-/\\]{0,3}[0-9]){7}"
        r"|[2-9][0-9]{2}(?:\) ?|[.\-])[2-9][0-9]{2}[ .\-][0-9]{4}",
        APART + r"(\+[1-9](?:[ ().\-/]{0,2}[0-9]){7,18}"
        r"|(?:1[ .\-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.\-])[2-9][0-9]{2}[ .\-]"
        r"[0-9]{4}\b(?:[.\-][0-9]+)*)",
        _phone,
    ),
    Pattern(
        "ip",
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
        START + r"([0-9]{1,3}(?:\.[0-9]{1,3}){3,})\b",
        _ip,
    ),
    Pattern(
        "ip",
        r"::[0-9A-Fa-f]|[0-9A-Fa-f]::|:(?:[0-9A-Fa-f]{1,4}:){3}",
        rf"(?:{ESCAPE}|^|[^0-9A-Za-z_:.])"
        r"([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.[0-9]{1,3}){0,3})"
        r"(?:[^0-9A-Za-z_]|$)",
        _ip,
    ),
)

# Values under these key names are private. A name is split into lower-case words, and
# matches when it contains one of these as whole words; the longest one names the class.
SECRET_KEYS = (
    "password", "passwords", "passwd", "passphrase", "passcode", "pwd", "token",
    "secret", "secrets", "client secret", "authorization", "proxy authorization",
    "bearer", "jwt", "api key", "api keys", "apikey", "apikeys", "access key",
    "private key", "signing key", "encryption key", "credential", "credentials",
    "cookie", "cookies",
)  # fmt: skip
# The same; but in plain text, where they are also headings of prose, only if the value
# holds a digit.
NUMBER_KEYS = (
    "dob", "date of birth", "birth date", "birthdate", "birthday", "birth day", "otp",
    "ssn", "social security", "social security number", "cvv", "cvc", "iban",
    "card number", "card no", "phone", "phones", "phone number", "phone numbers",
    "mobile", "mobile number", "telephone", "telephone number", "passport",
    "passport no", "passport number", "driver license", "drivers license",
    "license number", "national id", "tax id", "account number", "routing number",
)  # fmt: skip
# Next to one of these a key name counts or describes, and its value is no secret.
COUNTING_WORDS = {
    "count", "counts", "expires", "length", "limit", "limits", "max", "maximum", "min",
    "minimum", "type", "usage",
}  # fmt: skip
# Next to `token` these too: a language model's tokens.
TOKEN_WORDS = {
    "budget", "cached", "completion", "input", "output", "per", "prompt", "rate",
    "reasoning", "total", "used",
}  # fmt: skip
# Classes of which only the digits count, so that all ways of writing one agree.
DIGIT_CLASSES = {
    "card_no", "card_number", "mobile", "mobile_number", "phone", "phone_number",
    "phone_numbers", "phones", "social_security_number", "ssn", "telephone",
    "telephone_number",
}  # fmt: skip
# Values that run to the end of the line: they hold spaces and several parts.
LINE_CLASSES = ("authorization", "proxy_authorization", "cookie", "cookies")

WORDS = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class KeyNames:
    """Which names of keys make their values private."""

    def __init__(self, own: Sequence[str] = ()) -> None:
        """`own` names count whatever words stand around them.

        Raises:
            ConfigError: a name without a letter or digit.
        """
        self._own = {_words(name.encode()) for name in own}
        if () in self._own:
            msg = "A name in redact_keys has no letter or digit."
            raise ConfigError(msg, "Name keys of JSON objects, such as ticket_number.")
        names = (*SECRET_KEYS, *NUMBER_KEYS)
        self._known = {tuple(name.split()) for name in names} | self._own
        self._longest = max(map(len, self._known))
        self._cached = lru_cache(KEY_NAMES_MAX)(self._of)
        self.gate = _key_gate(self._known)

    def of(self, name: bytes) -> str | None:
        """The class of a key's values, None if they may stay."""
        return (self._of if len(name) > KEY_BYTES_MAX else self._cached)(name)

    def heading(self, phrase: bytes) -> str | None:
        """The same for words of a text that a colon or equals sign follows.

        In prose only the last words count: `date of birth:`, not `secret of success:`.
        """
        words = _words(phrase)
        for size in range(min(self._longest, len(words)), 1, -1):
            if found := self._judge(words[-size:], (0,), size):
                return found
        return self.of(phrase.rsplit(b" ", 1)[-1])

    def _of(self, name: bytes) -> str | None:
        # A pseudonym within a key is no word of it, but parts the words beside it.
        words = _words(PSEUDONYM.sub(b" 0 ", name))
        for size in range(self._longest, 0, -1):
            if found := self._judge(words, range(len(words) - size + 1), size):
                return found
        return None

    def _judge(
        self, words: tuple[str, ...], starts: Iterable[int], size: int
    ) -> str | None:
        """The first known sequence of so many words at one of these places."""
        counts = not COUNTING_WORDS.isdisjoint(words)
        of_model = counts or not TOKEN_WORDS.isdisjoint(words)
        for start in starts:
            sequence = words[start : start + size]
            exempt = of_model if sequence == ("token",) else counts
            if sequence in self._own or (sequence in self._known and not exempt):
                return "_".join(sequence)
        return None


def _words(name: bytes) -> tuple[str, ...]:
    """Lower-case words of a name in any style: `dateOfBirth`, `x-api-key`, `cvv2`."""
    return tuple(word.decode().lower() for word in WORDS.findall(name))


def _key_gate(known: Set[tuple[str, ...]]) -> str:
    """What raw JSON or text must hold for any name of a key to match."""
    # Between words: anything but letters and digits, or an escape that has some.
    apart = r"(?:[^0-9A-Za-z]|\\[bfnrtu][0-9A-Fa-f]{0,4})*"
    # A word ends where no lower-case letter follows: `tokens` is another word.
    names = sorted(known)
    letters = "|".join(apart.join(name) for name in names if name[-1].isalpha())
    digits = "|".join(apart.join(name) for name in names if name[-1].isdigit())
    gate = f"(?i:{letters})(?:[^a-z]|$)"
    return f"{gate}|(?i:{digits})" if digits else gate
