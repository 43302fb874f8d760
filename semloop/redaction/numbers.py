"""Payment cards, bank accounts (IBAN) and social security numbers, by their form."""

import re

from stdnum import iban, luhn

from semloop.redaction.finding import Found, pattern_finder

NOT_DIGITS = re.compile(rb"[^0-9]+")
GROUPS = re.compile(rb"[0-9]+")
CARD_ISSUERS = re.compile(
    rb"4(?:\d{15}|\d{18})"  # Visa
    rb"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    rb"|3[47]\d{13}"  # American Express
    rb"|(?:6011|64[4-9]\d|65\d\d|62\d\d)\d{12,15}"  # Discover, UnionPay
    rb"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    rb"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    rb"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{12}"  # Maestro
)
GROUP_SIZES = frozenset(
    (
        (4, 4, 4, 4),
        (4, 6, 5),
        (4, 6, 4),
        (4, 4, 4, 4, 3),
        (13,),
        (14,),
        (15,),
        (16,),
        (19,),
        (18,),
        (17,),
    )
)
# Numbers of other kinds may have the right prefix, length and digit too.
OTHER_NUMBER = re.compile(
    rb"(?i)(?:order|tracking|imei|isbn|ean|upc|gtin|sku|serial|invoice|product|item|ticket"
    rb"|request|trace|span|build|job|run|part|model|article|parcel|shipment|bestell\w*)"
    rb"[ _\-]?(?:number|no\.?|nr\.?|id|#)?[\"']?[ :=#\"']{0,4}$|\bid[\"']?[ :=]{0,3}[\"']?$|0x$|[.][0-9]*$"
)

# A decimal fraction, or an id.
CONTINUES = re.compile(rb"[.\-_][0-9A-Za-z]")


def card(text: bytes, start: int, end: int) -> Found | None:
    """Accept a payment card: prefix, length and groups of an issuer, and Luhn's digit."""
    if OTHER_NUMBER.search(text[max(0, start - 32) : start]):
        return None
    # A number after the card may match as one more group of it.
    groups = list(GROUPS.finditer(text, start, end))
    for n in range(len(groups), 0, -1):
        sizes = tuple(len(group[0]) for group in groups[:n])
        if sizes in GROUP_SIZES and card_number(b"".join(g[0] for g in groups[:n])):
            stop = groups[n - 1].end()
            if text[stop : stop + 1].isalnum() or CONTINUES.match(text, stop):
                continue
            return Found(NOT_DIGITS.sub(b"", text[start:stop]), stop - start)
    return None


def card_number(digits: bytes) -> bool:
    """Return whether digits are the number of a payment card."""
    return bool(CARD_ISSUERS.fullmatch(digits)) and luhn.is_valid(digits.decode())


CARD = pattern_finder(
    "card",
    r"(?:^[A-Za-z]?|[^0-9A-Za-z][A-Za-z]?|\\[bfnrt][A-Za-z]?|\\u[0-9A-Fa-f]{4})"
    r"[2-6][0-9]{3}(?:[0-9]{10,15}(?:\W|_|$)"
    r"|(?:[ \-._\\\n][\-._rn \\\r\n]{0,6}[0-9]{4}){2}[ \-._\\\r\n]|[ \-._]{1,2}[0-9]{6}[ \-._])",
    r"(?:^|[^0-9A-Za-z])[A-Za-z]?"
    r"([2-6][0-9]{3}(?:[0-9]{10,15}|(?:[ \-._]{1,2}|[ ]?\r?\n)[0-9]{4}(?:(?:[ \-._]{1,2}|[ ]?\r?\n)[0-9]{4}){2}"
    r"(?:[ \-][0-9]{1,3})?|[ \-._]{1,2}[0-9]{6}[ \-._]{1,2}[0-9]{4,5}))",
    card,
    retry_bytes=4,
)

# The length of the account numbers of each country.
IBAN_LENGTHS = {
    country_length[:2]: int(country_length[2:])
    for country_length in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24"
        " DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27"
        " GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20"
        " LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24"
        " PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25"
        " SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
    ).split()
}
IBAN_COUNTRIES = "|".join(IBAN_LENGTHS)
SIGNS = re.compile(rb"[ \-.]")
SEPARATOR = r"[ .]?"
# In raw JSON, the letter of an escape may precede a number.
RAW_START = r"(?:^|[^0-9A-Za-z]|\\[bfnrt]|\\u[0-9A-Fa-f]{4})"


def _iban(text: bytes, start: int, end: int) -> Found | None:
    # Words after the number may match as more groups of it.
    length = IBAN_LENGTHS[text[start : start + 2].decode().upper()]
    stop = start
    for _ in range(length):
        while text[stop : stop + 1] in (b" ", b"-", b"."):
            stop += 1
        stop += 1
    number = SIGNS.sub(b"", text[start:stop]).decode().upper()
    if stop > end or text[stop : stop + 1].isalnum():
        return None
    if not iban.is_valid(number, check_country=False):
        return None
    return Found(number.encode(), stop - start)


IBAN = pattern_finder(
    "iban",
    RAW_START
    + rf"(?i:{IBAN_COUNTRIES})[0-9]{{2}}(?:[ .]?[0-9A-Za-z]{{4}}){{2}}[ .]?[0-9A-Za-z]{{3}}",
    rf"(?:^|[^0-9A-Za-z])((?i:{IBAN_COUNTRIES})[0-9]{{2}}(?:(?:{SEPARATOR}[0-9A-Za-z]{{4}}){{2,7}}"
    rf"(?:{SEPARATOR}[0-9A-Za-z]{{1,3}})?))(?:[^0-9A-Za-z]|$)",
    _iban,
    retry_bytes=4,
)


# In groups of other lengths, in capital letters.
GROUPED_IBAN = pattern_finder(
    "iban",
    f"{RAW_START}(?:{IBAN_COUNTRIES})[0-9]{{2}}(?:[ \\-.]?[0-9A-Z]){{11}}",
    f"(?:^|[^0-9A-Za-z])((?:{IBAN_COUNTRIES})[0-9]{{2}}(?:[ \\-.]?[0-9A-Z]){{11,30}})",
    _iban,
    retry_bytes=4,
)


def _ssn(text: bytes, start: int, end: int) -> Found | None:
    area, group, serial = text[start:end].split(b"-")
    if (
        area in (b"000", b"666")
        or area >= b"900"
        or group == b"00"
        or serial == b"0000"
    ):
        return None
    return Found(area + group + serial, end - start)


SSN = pattern_finder(
    "ssn",
    r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
    r"(?:^|[^0-9A-Za-z.\-_/+])([0-9]{3}-[0-9]{2}-[0-9]{4})(?:[^0-9A-Za-z\-_/]|$)",
    _ssn,
)
FINDERS = (IBAN, GROUPED_IBAN, CARD, SSN)
