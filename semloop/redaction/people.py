"""E-mail addresses and phone numbers."""

import re

from semloop.redaction.finding import Finder, Found, pattern_finder

NOT_DIGITS = re.compile(rb"[^0-9]+")

# --- E-mail --------------------------------------------------------------------------

# Ends of file names and of images for high resolutions: `logo@2x.png`.
FILE_ENDS = frozenset(
    b"png jpg jpeg gif svg webp ico bmp css js mjs cjs ts tsx jsx json html htm txt pdf jar whl"
    b" exe dll so deb rpm tar gz tgz zip lock toml yml yaml py rb go rs cpp hpp java class".split()
)
SYSTEM_USERS = frozenset((b"git", b"hg", b"svn"))
# The password of a login in a URL is before an at sign too.
LOGIN_BEFORE = re.compile(rb"://[^/\s@]*:$")
SPELLED_AT = re.compile(rb"(?i)\s?[\[({<]at[\])}>]\s?|%40|&#0?64;|&#x40;|&commat;| at ")
SPELLED_DOT = re.compile(rb"(?i)\s?[\[({<](?:dot|punkt)[\])}>]\s?| dot ")


def _email(text: bytes, start: int, end: int) -> Found | None:
    found = text[start:end]
    plain = SPELLED_DOT.sub(b".", SPELLED_AT.sub(b"@", found)).lower()
    local, _, domain = plain.rpartition(b"@")
    last = domain.rpartition(b".")[2]
    if local in SYSTEM_USERS or last in FILE_ENDS:
        return None
    if (
        text[end : end + 1] == b"("
        or LOGIN_BEFORE.search(text[max(0, start - 64) : start])
        or re.match(rb"[0-9]+x\.", domain)
    ):
        return None
    return Found(plain, len(found))


WORD = r"[0-9A-Za-z_\xff]"
LOCAL = rf"{WORD}(?:[0-9A-Za-z_\xff.%+\-!#$'*^~]*[0-9A-Za-z_\xff+\-])?"
LABEL = r"[0-9A-Za-z\xff](?:[0-9A-Za-z\-\xff]*[0-9A-Za-z\xff])?"
EMAIL = pattern_finder(
    "email",
    "@|%40|&#0?64;|&#x40;|&commat;",
    rf"""((?:{LOCAL}|"[^"\r\n@]{{1,40}}")(?:@|%40|&#0?64;|&#x40;|&commat;)"""
    rf"(?:(?:{LABEL}\.)+(?:[A-Za-z\xff]{{2,}}|xn--[0-9a-z\-]+)|\[[0-9A-Fa-f.:]{{7,}}\]))",
    _email,
)
SPELLED_EMAIL = pattern_finder(
    "email",
    r"(?i:[\[({<] ?at ?[\])}>]| at [\w\-]+ dot )",
    rf"(?i)({LOCAL} ?[\[({{<] ?at ?[\])}}>] ?{LABEL}(?:(?: ?[\[({{<] ?(?:dot|punkt) ?[\])}}>] ?|\.){LABEL})+"
    rf"|{LOCAL} at {LABEL}(?: dot {LABEL})+)",
    _email,
)

# --- Phone numbers -------------------------------------------------------------------

PHONE = re.compile(
    rb"(?:\+|00)1[ .\-/]{0,2}\(?[2-9]\d\d\)?[ .\-/]{0,2}[2-9]\d\d[ .\-/]{0,2}\d{4}"
    rb"|(?:\+|00)[2-9](?:[^0-9]*+\d){7,14}|(?:[^+0-9]*+\d){10,11}"
)


def _phone(text: bytes, start: int, end: int) -> Found | None:
    # A number after the phone number may match as more groups of it.
    for stop in range(end, start + 7, -1):
        if not text[stop : stop + 1].isdigit() and PHONE.fullmatch(text, start, stop):
            digits = NOT_DIGITS.sub(b"", text[start:stop])
            return Found(digits.removeprefix(b"00"), stop - start)
    return None


APART = r"(?:^|[^0-9A-Za-z_.+\-/])"
PHONES = pattern_finder(
    "phone",
    r"\+[1-9](?:[ ().\-/\\]{0,3}[0-9]){7}"
    r"|[2-9][0-9]{2}(?:\) ?|[.\-])[2-9][0-9]{2}[ .\-][0-9]{4}"
    r"|0[1-9](?:[ .][0-9]{2}){4}|00[1-9][0-9]?[ ().\-/]",
    APART
    + r"(00[1-9][0-9]{0,2}[ ().\-/](?:[ ().\-/]{0,3}[0-9]){7,14}|\+[1-9](?:[ ().\-/]{0,3}[0-9]){7,18}"
    r"|(?:1[ .\-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.\-])[2-9][0-9]{2}[ .\-]"
    r"[0-9]{4}\b(?:[.\-][0-9]+)*"
    # In pairs, as in France.
    r"|0[1-9](?: [0-9]{2}){4}|0[1-9](?:\.[0-9]{2}){4})(?:[^0-9]|$)",
    _phone,
)


def _cued_phone(text: bytes, start: int, end: int) -> Found | None:
    digits = NOT_DIGITS.sub(b"", text[start:end])
    return Found(digits, end - start) if 8 <= len(digits) <= 14 else None


# Before `is my mobile`, or after `call`, `text` or `reach me at`.
NATIONAL = r"\(?0?[0-9](?:[ ().\-/]{0,2}[0-9]){6,13}"
CUED_PHONES = pattern_finder(
    "phone",
    r"(?i: is (?:my|his|her|the|our) (?:\w+ )?(?:mobile|phone|cell|number|fax|landline|handy)"
    r"|[0-9] \((?:mobile|mobiel|mobil|cell|home|work|office|handy|privat|phone|tel))",
    rf"(?i)(?:{APART}({NATIONAL}) (?:is (?:my|his|her|the|our) (?:\w+ )?(?:mobile|phone|cell|number|fax|landline|handy)"
    r"|\((?:mobile|mobiel|mobil|cell|home|work|office|handy|privat|phone|tel)))",
    _cued_phone,
)
CALLED_PHONES = pattern_finder(
    "phone",
    r"(?i:call|calling|text|dial|ring|whats ?app|reach)[A-Za-z ]{0,24}:? \(?[0-9]{2}",
    r"(?i)\b(?:call|calling|text|dial|ring|whats ?app|reach)(?: (?:me|us|him|her|them|back|on|at|it|now|under))*:? (\(?0[0-9](?:[ ().\-/]{0,2}[0-9]){6,12})",
    _cued_phone,
)

PHONE_LINKS = pattern_finder(
    "phone",
    r"wa\.me/|whatsapp\.com/send",
    r"(?:wa\.me/|whatsapp\.com/send/?\?phone=)\+?([0-9]{8,15})",
    _cued_phone,
)

FINDERS: tuple[Finder, ...] = (
    PHONE_LINKS,
    EMAIL,
    SPELLED_EMAIL,
    PHONES,
    CUED_PHONES,
    CALLED_PHONES,
)
