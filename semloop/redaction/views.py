r"""The forms of a text that redaction searches, with the way back to its characters.

A secret may hide behind escapes: in JSON within JSON, `"` is `\"` and `@` may be
`\u0040`. Each view decodes one level of escapes. A span of a view becomes a span of the
text, so that only the bytes of the secret are replaced.
"""

import codecs
import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache

from semloop.redaction.finding import OPAQUE, PSEUDONYM, Span

# Escaped quotes double their backslashes with each level of JSON within JSON, so a text
# of 4 MiB has at most 22 levels.
LEVELS_MAX = 24
ESCAPE = re.compile(
    r"\\(?:(u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2})"
    r"|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))",
    re.DOTALL,
)
JSON = json.JSONDecoder(strict=False)
ENCODERS: tuple[Callable[[str], str], ...] = (
    json.encoder.encode_basestring_ascii,
    json.encoder.encode_basestring,
)
# After that many positions of a view, the map is faster, and linear.
ASKED_MAX = 16
NULS = re.compile("\0+")
LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
# Names in other alphabets, replaced by names of the same length.
FOREIGN_WORDS = {
    "пароль": "passwd", "密码": "pw", "密碼": "pw", "口令": "pw", "パスワード": "pword",
    "비밀번호": "pass", "κωδικός": "passwrd", "סיסמה": "pword", "身份证": "dni",
    "生年月日": "dob ", "出生日期": "dob ", "дата рождения": "date of birth", "電話": "ph",
    "电话": "ph", "手机": "ph", "携帯": "ph", "전화": "ph", "휴대폰": "tel",
    "телефон": "telefon", "паспорт": "pasport",
}  # fmt: skip
FOREIGN = re.compile("|".join(FOREIGN_WORDS), re.IGNORECASE)


class View:
    """A form of a text, and how its positions map to those of the form below it.

    `raw` is the form below, in which each match of `pattern` is one character here, or
    none. The map is made when it is needed, since few views contain a secret.
    """

    def __init__(
        self,
        text: str,
        raw: str = "",
        pattern: re.Pattern[str] = ESCAPE,
        below: "View | None" = None,
    ) -> None:
        self.text = text
        self.below = below
        self._raw = raw
        self._pattern = pattern
        self._asked = 0

    def origin(self, at: int) -> int:
        """Return the position in the original text."""
        view: View | None = self
        while view is not None:
            at = view._below(at)
            view = view.below
        return at

    def original(self, span: Span) -> Span:
        """Return the span of the original text."""
        start, end = self.origin(span.start), self.origin(span.end)
        return Span(start, end, *span[2:])

    def _below(self, at: int) -> int:
        self._asked += 1
        encode = self._encoder if self._asked <= ASKED_MAX else None
        if encode:
            return len(encode(self.text[:at])) - len('""')
        cuts, shifts = self._map
        return at + shifts[bisect_right(cuts, at) - 1]

    @cached_property
    def _encoder(self) -> Callable[[str], str] | None:
        """The encoder that made the form below, if it is a usual one.

        Encoding the text before a position is faster than a map of all escapes.
        """
        if self._pattern is ESCAPE:
            for encode in ENCODERS:
                if encode(self.text) == f'"{self._raw}"':
                    return encode
        return None

    @cached_property
    def _map(self) -> tuple[list[int], list[int]]:
        """From `cuts[n]` on, a position is `shifts[n]` less than the one below."""
        cuts, shifts = [0], [0]
        kept = int(self._pattern is ESCAPE)
        for match in self._pattern.finditer(self._raw):
            start, end = match.span()
            cuts.append(start - shifts[-1] + kept)
            shifts.append(end - cuts[-1])
        return cuts, shifts


def unescaped(text: str, below: View | None = None) -> View:
    """Decode one level of escapes; an unknown escape is its character."""
    return View(ESCAPE.sub(_character, text), text, ESCAPE, below)


def json_content(raw: str) -> View:
    """Decode the content of a valid JSON string."""
    if "\\" not in raw:
        return View(raw)
    text: str = JSON.decode(f'"{raw}"')
    return View(text, raw)


def views(text: str) -> Iterator[View]:
    """Yield the forms of a text, the text itself first."""
    view = View(text)
    yield view
    if "\0" in text:
        view = View(NULS.sub("", text), text, NULS, view)
        yield view
    for _ in range(LEVELS_MAX):
        if "\\" not in view.text:
            return
        view = unescaped(view.text, view)
        yield view


def shadow_of(text: str) -> bytes:
    """Return one byte per character, so that positions are the same in both.

    Unicode's spaces, hyphens, quotes, digits and full-width forms become their ASCII
    counterparts, other letters `LETTER`, pseudonyms `OPAQUE`.
    """
    try:
        shadow = text.encode("ascii")
    except UnicodeEncodeError:
        text = FOREIGN.sub(lambda word: FOREIGN_WORDS[word[0].lower()], text)
        shadow = text.encode("ascii", "semloop.shadow")
    if b"<" in shadow:
        shadow = PSEUDONYM.sub(lambda found: OPAQUE * len(found[0]), shadow)
    return shadow


def _character(escape: re.Match[str]) -> str:
    pair, unit, byte, letter = escape.groups()
    if pair:
        high, low = int(pair[1:5], 16), int(pair[7:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    return chr(int(unit or byte, 16)) if unit or byte else LETTERS.get(letter, letter)


def _shadow(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    return b"".join(map(_byte, part)), error.end


# A letter beyond ASCII, and any other character.
LETTER, OTHER = b"\xff", b"\x1a"
SAME = {
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
    "\u2018": "'", "\u2019": "'", "\u2192": "=", "\u21d2": "=", "\u2212": "-",
    "\u3002": ".", "\u30fb": ".", "\u00ad": "-",
}  # fmt: skip


@lru_cache(2**12)
def _byte(character: str) -> bytes:
    if same := SAME.get(character):
        return same.encode()
    category = unicodedata.category(character)
    if category == "Zs":
        return b" "
    if category == "Pd":
        return b"-"
    if category == "Nd":
        return b"%d" % unicodedata.decimal(character)
    if "\uff01" <= character <= "\uff5e":
        return bytes([ord(character) - 0xFEE0])
    return LETTER if category[0] in "LM" else OTHER


codecs.register_error("semloop.shadow", _shadow)
