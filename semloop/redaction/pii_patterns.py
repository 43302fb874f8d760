"""Table of patterns for private content in text.

Every expression is compiled by RE2 in Latin-1 mode: it takes linear time on any input
and matches bytes, so text that is not UTF-8 needs no special case.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import re2
from stdnum import iban, luhn

PSEUDONYM = re.compile(rb"(<[a-z][a-z0-9_]*+:[0-9a-f]{12}>)")


class Span(NamedTuple):
    """A private part of a text, with its class and normal form."""

    start: int
    end: int
    name: str
    normal: bytes


class Found(NamedTuple):
    """An accepted candidate: its normal form, and the number of its bytes."""

    normal: bytes
    length: int


Finder = Callable[[bytes], Iterator[Span]]


def latin1(pattern: str, never_capture: bool = False) -> Any:
    """Compile an RE2 expression for bytes."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = never_capture
    return re2.compile(pattern.encode("ascii"), options)


class Pattern(NamedTuple):
    """One kind of private text.

    `gate` matches wherever `find` can match, in raw JSON too. Group 1 of `find` is a
    candidate for `check`. After a rejected candidate the search continues `retry_bytes`
    after its start, or else at its end; only patterns with short candidates set it.
    `needs` is cheap to search for and is contained in every match of `find`.
    """

    name: str
    gate: str
    find: str
    check: Callable[[bytes], Found | None]
    needs: re.Pattern[bytes]
    retry_bytes: int = 0

    def finder(self) -> Finder:
        """Return a finder of all matches in a text that contains `needs`."""
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


def any_text(found: bytes) -> Found:
    """Accept any match."""
    return Found(found, len(found))


def digits_only(text: bytes) -> bytes:
    """Return the digits of a number that is written with separators."""
    return re.sub(rb"[^0-9]", b"", text)


def _email(found: bytes) -> Found:
    return Found(found.replace(b"%40", b"@").lower(), len(found))


def _with_digit(found: bytes) -> Found | None:
    return any_text(found) if re.search(rb"[0-9]", found) else None


def _api_key(found: bytes) -> Found | None:
    # Keys contain digits, unlike words such as `sk-learn-compatible-estimator`.
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
    """Accept a payment card: prefix and length of an issuer, and the Luhn digit."""
    # A number after the card may match as one more group of it.
    for end in (len(found), max(found.rfind(b" "), found.rfind(b"-"), 0)):
        number = digits_only(found[:end])
        if CARD_ISSUERS.fullmatch(number) and luhn.is_valid(number.decode()):
            return Found(number, end)
    return None


def _iban(found: bytes) -> Found | None:
    # Words after the number may match as more groups of it: try shorter prefixes.
    for end in range(len(found), 14, -1):
        if found[end - 1 : end] != b" " and (found[end : end + 1] or b" ") == b" ":
            number = found[:end].replace(b" ", b"").upper()
            moved = number[4:] + number[:4]
            # Check the remainder first: it is cheap, and nearly all candidates fail.
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
    # A number after the phone number may match as more groups of it.
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


# In a fragment of JSON the letter of an escape such as `\n` is adjacent to the text.
ESCAPE = r"\\[bfnrt]"
START = rf"(?:{ESCAPE}|\b)"
# The same for gates: they match raw text, with `\u00e9` instead of the letter.
RAW_ESCAPE = r"\\(?:[bfnrt]|u[0-9A-Fa-f]{4})"
RAW_START = rf"(?:{RAW_ESCAPE}|\b)"
# Not preceded by a character of a longer identifier.
APART = rf"(?:{ESCAPE}|^|[^0-9A-Za-z_.+\-])"
# Non-ASCII letters have two bytes up to Arabic; quotes and dashes have three.
LETTER = r"(?:[0-9A-Za-z]|[\xc3-\xdf][\x80-\xbf])"
IBAN_COUNTRIES = (
    "AD|AE|AL|AT|AZ|BA|BE|BG|BH|BI|BR|BY|CH|CR|CY|CZ|DE|DJ|DK|DO|EE|EG|ES|FI|FK|FO|FR"
    "|GB|GE|GI|GL|GR|GT|HN|HR|HU|IE|IL|IQ|IS|IT|JO|KW|KZ|LB|LC|LI|LT|LU|LV|LY|MC|MD|ME"
    "|MK|MN|MR|MT|MU|NI|NL|NO|OM|PK|PL|PS|PT|QA|RO|RS|RU|SA|SC|SD|SE|SI|SK|SM|SO|ST|SV"
    "|TL|TN|TR|UA|VA|VG|XK|YE"
)

AT_SIGN, DIGIT = re.compile(b"@"), re.compile(b"[0-9]")

# Order matters: a pattern that may contain another one precedes it.
PATTERNS = (
    Pattern(
        "private_key",
        r"PRIVATE KEY",
        # A truncated block is redacted to the end of the text.
        r"(-----BEGIN [0-9A-Z ]*PRIVATE KEY[A-Z ]*-----"
        r"(?:(?s:.*?)-----END [0-9A-Z ]*-----|(?s:.*)))",
        any_text,
        needs=re.compile(b"PRIVATE KEY"),
    ),
    Pattern(
        "url_login",
        "@",
        r""":(?:\\*/){2}([^\s/?#"'<>\\]*:[^\s/?#"'<>\\]*)@""",
        any_text,
        needs=AT_SIGN,
    ),
    Pattern(
        "jwt",
        r"eyJ[\w\-]{5}",
        START + r"(eyJ[\w\-]{5,}(?:\.[\w\-]+){1,4})",
        _jwt,
        needs=re.compile(b"eyJ"),
    ),
    Pattern(
        "api_key",
        r"A[KS]IA[0-9A-Z]{4}|sk-[\w\-]{8}|gh[opsur]_\w{8}|github_pat_|xox[abprs]-|AIza\w"
        r"|[rs]k_(?:live|test)_",
        # AWS, OpenAI and Anthropic, GitHub, Slack, Google, Stripe.
        rf"{START}"
        r"(A[KS]IA[0-9A-Z]{16}\b|sk-[\w\-]{16,}|(?:gh[opsur]|github_pat)_\w{16,}"
        r"|xox[abprs]-[\w\-]{8,}|AIza[\w\-]{30,}|[rs]k_(?:live|test)_\w{10,})",
        _api_key,
        needs=re.compile(b"[KS]IA|sk-|gh|github_pat_|xox|AIza|k_(?:live|test)_"),
    ),
    Pattern(
        "bearer",
        "(?i:bearer)",
        START + r"(?i:bearer)\s+([\w.~+/=\-]{8,})",
        _with_digit,
        needs=DIGIT,
    ),
    Pattern(
        "email",
        "@|%40",
        # A sequence of other bytes (Chinese, or not UTF-8) matches as a whole.
        rf"(?:{ESCAPE})?((?:(?:{LETTER}|[._%+'\-])+|[\x80-\xff]+)(?:@|%40)"
        r"(?:[0-9A-Za-z\-\x80-\xff]+\.)+(?:[A-Za-z]{2,}|[\x80-\xff]+))",
        _email,
        needs=re.compile(b"@|%40"),
    ),
    Pattern(
        "iban",
        RAW_START + rf"(?i:{IBAN_COUNTRIES})[0-9]{{2}}(?: ?[0-9A-Za-z]{{4}}){{2}} ?"
        r"[0-9A-Za-z]{3}(?: ?[0-9A-Za-z]){0,19}(?:[^0-9A-Za-z]|$)",
        START + rf"((?i:{IBAN_COUNTRIES})[0-9]{{2}}(?: ?[0-9A-Za-z]{{4}}){{2,7}}"
        r"(?: ?[0-9A-Za-z]{1,3})?)\b",
        _iban,
        needs=DIGIT,
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
        needs=DIGIT,
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
        needs=DIGIT,
    ),
    Pattern(
        "ip",
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
        START + r"([0-9]{1,3}(?:\.[0-9]{1,3}){3,})\b",
        _ip,
        needs=re.compile(rb"\."),
    ),
    Pattern(
        "ip",
        r"::[0-9A-Fa-f]|[0-9A-Fa-f]::|:(?:[0-9A-Fa-f]{1,4}:){3}",
        rf"(?:{ESCAPE}|^|[^0-9A-Za-z_:.])"
        r"([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.[0-9]{1,3}){0,3})"
        r"(?:[^0-9A-Za-z_]|$)",
        _ip,
        needs=re.compile(b":"),
    ),
)
