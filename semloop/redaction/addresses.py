"""Postal addresses: a street with a house number, and its town."""

from semloop.redaction.finding import Found, pattern_finder

STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Pl"
    "|Square|Sq|Terrace|Close|Crescent|Parkway|Pkwy|Highway|Hwy|Circle|Trail|Alley"
)
NAMES = r"(?:(?:[NSEW]\.? )?[A-Z][A-Za-z\xff'.\-]+ ){1,3}"
CITY = r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|#)\.? ?[0-9A-Za-z\-]+)?(?:,? [A-Z][A-Za-z\xff.\-]+(?: [A-Z][A-Za-z\xff.\-]+){0,2})?(?:,? [A-Z]{2})?(?:,? [0-9]{5}(?:-[0-9]{4})?|,? [A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2})"


def _any(text: bytes, start: int, end: int) -> Found:
    return Found(text[start:end], end - start)


FINDERS = (
    # Without a postal code, only after a word for living, sending or meeting there.
    pattern_finder(
        "address",
        rf"[0-9] {NAMES}(?:{STREET})",
        r"(?i:\b(?:lives?|living|resid\w+|address|ship\w*|deliver\w*|mail|send|moved|home|located|billing|street)\b[^\n0-9]{0,24})"
        rf"([0-9]{{1,5}}[A-Za-z]? {NAMES}(?:{STREET})\b\.?)",
        _any,
    ),
    pattern_finder(
        "address",
        rf"[0-9] {NAMES}(?:{STREET})",
        rf"\b([0-9]{{1,5}}[A-Za-z]? {NAMES}(?:{STREET})\b\.?(?:{CITY}))",
        _any,
    ),
    pattern_finder(
        "address",
        "(?:stra(?:ss|\xff)e"
        r"|str\.|[Rr]ue|[Aa]venue|[Cc]alle|[Vv]ia|weg|platz|gasse|laan|straat|[Rr]ua|[Pp]laza|[Pp]iazza)",
        r"(\b[A-Z\xff][A-Za-z\xff\-]*(?:stra\xffe|strasse|str\.|weg|platz|gasse|laan|straat) [0-9]{1,4} ?[a-z]?(?:, ?[0-9]{4,5}(?: [A-Z]{2})? [A-Z\xff][A-Za-z\xff\-]+)?"
        r"|\b[0-9]{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|place|chemin|all\xffe) (?:[A-Za-z\xff'\-]+ ?){1,5}(?:, ?[0-9]{5} [A-Z\xff][A-Za-z\xff\-]+)"
        r"|\b(?:Calle|Via|Rua|Piazza|Plaza|Avenida|Viale|Corso) (?:[A-Za-z\xff']+ ){0,4}[A-Z\xff][A-Za-z\xff]+,? (?:n\. ?)?[0-9]{1,4}(?:, ?[0-9]{4,5}(?:-[0-9]{3})? [A-Z\xff][A-Za-z\xff]+)?)",
        _any,
    ),
)
