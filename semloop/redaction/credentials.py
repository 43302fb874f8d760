"""Credentials with a form of their own: headers, cookies, logins, JSON Web Tokens."""

import base64
import binascii
import re
from collections.abc import Iterator

import msgspec

from semloop.redaction.finding import Finder, Found, Span, latin1, pattern_finder
from semloop.redaction.shapes import Strength, is_placeholder, strength

# --- Logins in URLs ------------------------------------------------------------------

LOGIN_WORDS = re.compile(
    rb"(?i)[\w.\-]*(?:user|pass|pwd|secret|token|key|host)\w*|x+|\*+|\.+"
)


def _login(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end]
    user, colon, password = found.partition(b":")
    if not colon:
        # `https://TOKEN@host`: a user name is no secret.
        return Found(found, len(found)) if strength(user) >= Strength.STRONG else None
    if LOGIN_WORDS.fullmatch(password) or strength(password) is Strength.NONE:
        return None
    return Found(found, len(found))


URL_LOGIN = pattern_finder(
    "url_login",
    "@",
    r""":(?:\\*/){2}([^\s/?#"'<>\\`]*)@[A-Za-z0-9\[$\x7f-\xff{]""",
    _login,
)


def _slash_login(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end]
    return Found(found, len(found)) if strength(found) >= Strength.MIXED else None


# `jdbc:oracle:thin:scott/PASSWORD@db`, and a line of `.pgpass`.
ORACLE_LOGIN = pattern_finder(
    "url_login",
    "(?i:oracle|sqlplus)",
    r"(?i)(?:thin:|sqlplus )\w+/([^\s@/]+)@",
    _slash_login,
)
PGPASS = pattern_finder(
    "password",
    r":(?:[0-9]{2,5}|\*):[\w*.\-]+:[\w*.\-]+:[^\s:]",
    r"(?:^|[\s\"'`])[\w.*\-]+:(?:[0-9]{2,5}|\*):[\w*.\-]+:[\w*.\-]+:([^\s:\"'`]+)",
    _slash_login,
)

# --- Headers -------------------------------------------------------------------------

WORDS_AFTER_SCHEME = re.compile(
    rb"(?i)(?:auth\w*|token\w*|access|scheme|type|format|or|and|is)"
)


def _scheme(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end]
    if WORDS_AFTER_SCHEME.fullmatch(found.rstrip(b".,;:")):
        return None
    found = found.rstrip(b".,;")
    random = bool(re.search(rb"[0-9]", found)) or (
        len(found) >= 16 and b"." not in found
    )
    return Found(found, len(found)) if random and not is_placeholder(found) else None


BEARER = pattern_finder(
    "bearer", "(?i:bearer)", r"(?i)bearer[ \t+]+([\w.~+/=\-]{8,})", _scheme
)


def _basic(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end]
    try:
        decoded = base64.b64decode(found + b"=" * (-len(found) % 4))
    except binascii.Error:
        return None
    return Found(found, len(found)) if b":" in decoded and decoded.isascii() else None


BASIC = pattern_finder(
    "authorization",
    r"(?i:basic)[ \t+]+[A-Za-z0-9+/]{8}",
    r"(?i)basic[ \t+]+([A-Za-z0-9+/]{8,}={0,2})",
    _basic,
)


def _authorization(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end].rstrip(b" \t,;")
    scheme, _, rest = found.partition(b" ")
    value = rest.strip() or scheme
    least = Strength.TEXT if rest else Strength.MIXED
    if found.endswith((b"$", b"%")) or (rest and not SCHEMES.fullmatch(scheme)):
        return None
    return Found(found, len(found)) if strength(value) >= least else None


SCHEMES = re.compile(
    rb"(?i)basic|bearer|digest|token|negotiate|ntlm|api-?key|hmac\S*|oauth|hawk"
    rb"|aws4-hmac-sha256|shared\w*|bot|key|signature"
)
AUTHORIZATION = pattern_finder(
    "authorization",
    "(?i:authori[sz]ation)",
    r"""(?i)authori[sz]ation["'`]?[ \t]*[:=,][ \t]*["'`]?([^\r\n"'`<>{}|]+)""",
    _authorization,
)
# The value of `Digest` contains quotes.
DIGEST = pattern_finder(
    "authorization",
    "(?i:digest)",
    r"""(?i)authori[sz]ation["']?[ \t]*:[ \t]*(digest [^\r\n]+?)(?:'?[ \t]*(?:[\r\n]|$)|' )""",
    lambda text, start, end: Found(text[start:end], end - start),
)

# Attributes of `Set-Cookie`.
ATTRIBUTES = frozenset(
    (b"path", b"domain", b"expires", b"max-age", b"samesite", b"version", b"priority")
)
COOKIE = latin1(
    r"""(?i)(?:\bcookies?(?:["'`]?[ \t]*[:=]|["'`][ \t]*,)[ \t]*["'`]?|document\.cookie[ \t]*=[ \t]*["'`])"""
    r"""([\w.%$\-]+=[^\r\n"'`<>]+)"""
)
SESSION = re.compile(rb"(?i)sess|sid|auth|token|csrf|xsrf|login|user|secret|jwt")
PAIR = re.compile(rb"([\w.%$\-]+)=([^;\s,\\]+)")


def _cookies(text: bytes) -> Iterator[Span]:
    at = 0
    while match := COOKIE.search(text, at):
        at = match.end()
        yield from cookie_values(text, *match.span(1))


def cookie_values(text: bytes, start: int, end: int) -> Iterator[Span]:
    """Yield the private values in the pairs of a cookie header."""
    for pair in PAIR.finditer(text, start, end):
        if pair[1].lower() in ATTRIBUTES or b"(" in pair[2]:
            continue
        least = Strength.TEXT if SESSION.search(pair[1]) else Strength.MIXED
        if strength(pair[2]) >= least:
            yield Span(*pair.span(2), "cookie")


COOKIES = Finder("(?i:cookie)", _cookies, "form of cookie")


# `login ann / PASSWORD`, `credentials: ann:PASSWORD`, `user ann with PASSWORD`.
def _strong(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end].rstrip(b".,;:!?)")
    return Found(found, len(found)) if strength(found) >= Strength.STRONG else None


PAIR_OF_LOGIN = pattern_finder(
    "password",
    "(?i:login|log in|sign in|credentials|creds)",
    r"""(?i)\b(?:login|log in|sign in|credentials|creds)\b["']?[ \t]*(?:is|as|with|:|=)?[ \t]*["'`]?"""
    r"""[\w.@\-]{2,40}["'`]?[ \t]{0,2}(?:/|:|,|and|with)[ \t]{0,2}["'`]?([^\s"'`/]+)""",
    _strong,
)

# `482913 is your verification code`; `_auth` of npm.
OTP = pattern_finder(
    "otp",
    r"(?i:[0-9] (?:is|as) (?:your|the|my) (?:\w+ ){0,3}(?:code|pin|otp|passcode|password))",
    r"(?i)(?:^|[^0-9A-Za-z.])((?:[A-Z]-)?[0-9]{3}[ \-]?[0-9]{3}|[0-9]{4,8}) (?:is|as) (?:your|the|my) (?:\w+ ){0,3}"
    r"(?:code|pin|otp|passcode|password)",
    lambda text, start, end: Found(text[start:end], end - start),
)
# `auth=("ann", "PASSWORD")` of Python's HTTP clients.
PYTHON_AUTH = pattern_finder(
    "password",
    r"auth[ \t]*=[ \t]*(?:HTTP\w+)?\(",
    r"""auth[ \t]*=[ \t]*(?:HTTP\w+)?\([ \t]*["'][^"'\r\n]{1,64}["'],[ \t]*["']([^"'\r\n]{4,})["']""",
    _slash_login,
)
NPM_AUTH = pattern_finder(
    "authorization",
    r"_auth[ \t]*=",
    r"\b_auth[ \t]*=[ \t]*([0-9A-Za-z+/]{8,}={0,2})",
    lambda text, start, end: Found(text[start:end], end - start),
)

# --- JSON Web Tokens -----------------------------------------------------------------


def _jwt(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end]
    header = found.split(b".", 1)[0]
    try:
        decoded = base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4))
        msgspec.json.decode(decoded, type=dict[str, object])
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Found(found, len(found))


JWT = pattern_finder("jwt", r"eyJ[\w\-]{5}", r"(eyJ[\w\-]{5,}(?:\.[\w\-]*){1,4})", _jwt)

FINDERS = (
    URL_LOGIN, ORACLE_LOGIN, PGPASS, BEARER, BASIC, AUTHORIZATION, DIGEST, COOKIES,
    JWT, PAIR_OF_LOGIN, OTP, NPM_AUTH, PYTHON_AUTH,
)  # fmt: skip
