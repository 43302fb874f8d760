"""Values behind names in text: `password: x`, `--token x`, `?key=x`, `the PIN is x`.

For text of any kind: prose, source, settings, headers, tables, query strings, and
fragments of JSON. Positions are bounded from each name, so time is linear.
"""

import re
from collections.abc import Iterator

from semloop.redaction.finding import Finder, Span, latin1
from semloop.redaction.key_names import SHORT, Name, NameTable, Values
from semloop.redaction.named_values import is_private, normal_form
from semloop.redaction.shapes import CONSTANTS, Strength, strength

NAME_BYTES_MAX = 64
# Of a value without quotes, what is judged; each of many names may have that much.
RUN_BYTES_MAX = 128
VALUE_BYTES_MAX = 4096
NAME_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.$-\xff"
NOT_NAME_BYTES = bytes(set(range(256)) - set(NAME_BYTES))
# After a name these end it: no longer name begins like this.
SIGNS = frozenset((b":", b"=", b'"', b"'", b",", b"}", b"<", b"\n"))
# Bytes of a value in which its first digit is, such as behind the name of a month.
FIRST_DIGIT_MAX = 64
DIGIT = re.compile(rb"[0-9]")
LOWER = frozenset(b"abcdefghijklmnopqrstuvwxyz\xff")

# What follows a name: the end of its quotes, then a sign, a verb or a space.
SIGN = re.compile(
    rb"""[*_]{0,3}["'`]?\]?[*)?]{0,3}[ \t]{0,20}(?::=|={1,3}>?|:(?![:/])|->|%3[DdAa])"""
    rb"""[*_ \t]{0,20}"""
)
BLOCK = re.compile(rb"[>|][+\-]?[ \t]{0,4}\r?\n[ \t]{1,40}")
BLOCK_SIGNS = (b">", b"|")
NEXT_LINE = re.compile(rb"[ \t]{0,20}\r?\n[ \t]{0,40}(?:- )?")
TYPE = re.compile(rb"""[\w.\[\], |?<>]{1,60}?[ \t]*=[ \t]*(?=[bBfFrRuU]{0,2}["'`])""")
TYPE_BYTES_MAX = 80
VERB = re.compile(
    rb"""["'`]?[ \t]+(?:is|was|will be|are|as|to|ist|lautet|est|es|war|becomes)"""
    rb"""(?:[ \t]+(?:set to|now|changed to|just))?[ \t]{0,4}[:=]?[ \t]{1,4}"""
)
WORDS_BETWEEN = re.compile(
    rb"(?:[ \t]+[A-Za-z][\w@.\-']{0,24}){1,5}"
    rb"(?:[ \t]+(?:is|was|to|as)[ \t]*[:=]?|[ \t]*[:=])[ \t]+"
)
CALL = re.compile(rb"""\((?=["'])""")
SPACE = re.compile(rb"""["'`]?[ \t]{1,20}[:=]?[ \t]{0,4}|["'],[ \t]{0,4}(?=["'])""")
CELL = re.compile(rb"[ \t]{0,40}\|[ \t]{0,40}([^|\r\n]{1,200}?)[ \t]{0,40}\|")
ELEMENT = re.compile(rb"[^<>]{0,80}>\s{0,20}([^<>]{1,4096}?)\s{0,20}</")
NAME_BEFORE = re.compile(
    rb"""\b(?:name|key|type|id|field|header|param)["']?\s{0,4}[:=]\s{0,4}["']?$""", re.I
)
VALUE_AFTER = re.compile(
    rb"""["']?[ \t]*[,;]?\s{0,40}(?:[\w\-]{1,20}="[^"]{0,40}" ){0,2}"""
    rb"""["']?(?:value|val|content|default|values)["']?\s{0,4}[:=]\s{0,4}""",
    re.IGNORECASE,
)
QUOTED = re.compile(
    rb"""[bBfFnNrRuU]{0,2}(?:"((?:[^"\\\r\n]|\\.){0,4096})"|'((?:[^'\\\r\n]|\\.){0,4096})'"""
    rb"""|`((?:[^`\\\r\n]|\\.){0,4096})`|\{([^{}\r\n]{6,200})\}(?=;|$))"""
)
# The first bytes of both.
QUOTE_STARTS = frozenset(bytes([byte]) for byte in b"bBfFnNrRuU\"'`{")
OPEN_QUOTE = re.compile(rb"""[bBfFrRuU]{0,2}["'`]([^"'`\r\n]{1,4096})(?:$|[\r\n])""")
RUN = re.compile(rb"""[^\s"'`]{1,128}""")
BARE = re.compile(rb"""(?![=:])(?:[^\s"'`,;&|<>(){}\[\]\\]++|\\[^\s"'`\\/bfnrtu])++""")
# A secret with `,` `<` or `(` inside, but not the next argument or the next pair.
MORE = re.compile(rb"""[,<(\[{]+[^\s"'`,;&|<>(){}\[\]=:]+""")
NUMBERS = re.compile(
    rb"""(?:%2[Bb])?[+(]?[0-9A-Za-z][0-9A-Za-z]*(?:[ ().\-/,]{1,2}[0-9][0-9A-Za-z]*|[ ][A-Z]{1,2}(?= ?[0-9])"""
    rb"""|,? ?(?:de |of )?[A-Za-z\xff]{3,10}\.?,? (?:de )?[0-9]{1,4})*"""
    rb"""(?: [A-Z](?![A-Za-z]))?(?:(?: ?x| ext\.?) ?[0-9]{1,6})?"""
)
MONTH_FIRST = re.compile(
    rb"[A-Za-z\xff]{3,10}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4}"
)
# With a letter after each part, as in Chinese and Japanese.
YEAR_FIRST = re.compile(rb"[0-9]{4}\xff ?[0-9]{1,2}\xff ?[0-9]{1,2}\xff?")
NUMBER_WORDS = re.compile(
    rb"""["'`*_]{0,3}\]?[*)]{0,2}[ \t|"'`]{0,5}"""
    rb"""(?:(?:number|no\.?|nr\.?|num|code|id|is|was|on|am|lautet|ist|est|es|#|\.|:|=>?|%3[Dd]|->|/)"""
    rb"""[ \t"'`*_|(]{0,4}){0,4}""",
    re.IGNORECASE,
)
LEAF = re.compile(
    rb"""["'`]([^"'`\r\n]{1,200})["'`](?!\s*:)|([^\s"'`,:{}\[\]\\()]{1,200})(?!["'`]?\s*:)"""
)
DIGITS = b"0123456789"
QUOTES = (b'"', b"'", b"`")
CLOSING = re.compile(rb"[\[\]{}]")
TRAILING = b" .,;:!?)]}>*|\\"


def cue_finder(names: NameTable) -> Finder:
    """Return a finder of values behind names."""
    regex = latin1(names.expression, capture=False)
    # A short name is found with the character before it, so before a longer one.
    long_names = latin1(names.long_expression, capture=False)

    def find(text: bytes) -> Iterator[Span]:
        at = 0
        while match := regex.search(text, at):
            begin, at = match.span()
            found = text[begin:at]
            start = begin + len(found) - len(found.lstrip(NOT_NAME_BYTES))
            if (
                at - start <= SHORT
                and text[at : at + 1] not in SIGNS
                and (longer := long_names.match(text, start))
            ):
                at = longer.end()
            if text[at : at + 1] and text[at] in LOWER:
                # A longer name may begin here, or a part of another word ends.
                at = begin + 1
                continue
            before = text[max(0, start - NAME_BYTES_MAX) : start]
            start -= len(before) - len(before.rstrip(NAME_BYTES))
            after = text[at : at + NAME_BYTES_MAX]
            at += len(after) - len(after.lstrip(NAME_BYTES))
            written = text[start:at]
            at -= len(written) - len(written.rstrip(b".-"))
            name = names.of(text[start:at].decode("latin-1"))
            if name is None:
                continue
            spans = list(_values(text, start, at, name))
            yield from spans
            at = max([at, *(span.end for span in spans)])

    return Finder(names.gate, find, "value after a name")


def _values(text: bytes, start: int, end: int, name: Name) -> Iterator[Span]:
    """Yield the values that belong to the name at `start` to `end`."""
    if name.values is Values.HEADERS:
        return
    if name.values is Values.NUMBERS:
        yield from _numbers(text, end, name)
        return
    for at, least in _places(text, start, end):
        if at < len(text) and text[at] in b"[{":
            yield from _leaves(text, at, name)
            return
        url = text[start - 1 : start] in (b"?", b"&")
        for begin, stop in _value(text, at, url=url):
            if not is_private(name, text[begin:stop], least):
                continue
            rest = BARE.match(text, stop) if stop - begin == RUN_BYTES_MAX else None
            end = rest.end() if rest else stop
            yield Span(begin, end, name.name, normal_form(name.name, text[begin:end]))
            return


def _places(text: bytes, start: int, end: int) -> Iterator[tuple[int, Strength]]:
    """Yield where a value may begin, with what is demanded of it there."""
    if sign := SIGN.match(text, end):
        yield from _after_sign(text, sign.end())
    elif place := _in_markup(text, start, end):
        yield place
    else:
        yield from _after_words(text, start, end)


def _after_sign(text: bytes, at: int) -> Iterator[tuple[int, Strength]]:
    # A look at the next bytes saves most of the searches in a list of names.
    first = text[at : at + 1]
    if first in BLOCK_SIGNS and (block := BLOCK.match(text, at)):
        yield block.end(), Strength.MIXED
        return
    if first.isspace() and (line := NEXT_LINE.match(text, at)):
        yield line.end(), Strength.STRONG
        return
    if text.find(b"=", at, at + TYPE_BYTES_MAX) >= 0 and (
        typed := TYPE.match(text, at)
    ):
        yield typed.end(), Strength.MIXED
    yield at, Strength.MIXED
    # `password: is x`
    if first.isalpha() and (verb := VERB.match(b" " + text[at : at + 20])):
        yield at + verb.end() - 1, Strength.MIXED


def _in_markup(text: bytes, start: int, end: int) -> tuple[int, Strength] | None:
    """Return the place of a value in XML, HTML, YAML's pairs, or a table."""
    if text[start - 1 : start] == b"<" and (element := ELEMENT.match(text, end)):
        return element.start(1), Strength.MIXED
    if NAME_BEFORE.search(text[max(0, start - 32) : start]):
        if after := VALUE_AFTER.match(text, end):
            return after.end(), Strength.TEXT
        if element := ELEMENT.match(text, end):
            return element.start(1), Strength.MIXED
    if cell := CELL.match(text, end):
        return cell.start(1), Strength.MIXED
    return None


def _after_words(text: bytes, start: int, end: int) -> Iterator[tuple[int, Strength]]:
    if verb := VERB.match(text, end):
        yield verb.end(), Strength.MIXED
    if between := WORDS_BETWEEN.match(text, end):
        yield between.end(), Strength.STRONG
    if call := CALL.match(text, end):
        yield call.end(), Strength.MIXED
    if space := SPACE.match(text, end):
        option = text[start : start + 1] == b"-"
        # Both in quotes: JSON without its colon.
        quotes = (
            text[end : end + 1] in QUOTES
            and text[space.end() : space.end() + 1] in QUOTES
        )
        yield space.end(), Strength.MIXED if option or quotes else Strength.STRONG


def _value(text: bytes, at: int, *, url: bool) -> Iterator[tuple[int, int]]:
    """Yield the forms that a value at a position may have, the likeliest first."""
    starts_quote = text[at : at + 1] in QUOTE_STARTS
    if starts_quote and (quoted := QUOTED.match(text, at)):
        group = quoted.lastindex
        if group and quoted[group]:
            yield quoted.span(group)
        return
    if starts_quote and (quoted := OPEN_QUOTE.match(text, at)):
        yield quoted.span(1)
        return
    run = RUN.match(text, at)
    if not run:
        return
    bare = BARE.match(text, at, run.end())
    end = bare.end() if bare else at
    if end == at or text[at:end].rstrip(DIGITS).lower() in CONSTANTS:
        return
    if (
        not url
        and text[end : end + 1] in (b"(", b"[")
        and strength(text[at:end]) < Strength.STRONG
    ):
        return
    if not url and (more := MORE.match(text, end)) and more.end() == run.end():
        end = more.end()
    yield at, at + len(text[at:end].rstrip(TRAILING))


def _numbers(text: bytes, end: int, name: Name) -> Iterator[Span]:
    words = NUMBER_WORDS.match(text, end)
    at = words.end() if words else end
    if at == end or not DIGIT.search(text, at, at + FIRST_DIGIT_MAX):
        return
    if text[at : at + 1] in (b"[", b"{"):
        yield from _leaves(text, at, name)
        return
    for pattern in (NUMBERS, MONTH_FIRST, YEAR_FIRST):
        if found := pattern.match(text, at):
            value = _longest_number(name, text, at, found.end())
            if value:
                yield Span(at, value, name.name, normal_form(name.name, text[at:value]))
                return


def _longest_number(name: Name, text: bytes, at: int, end: int) -> int | None:
    """Return the end of the longest prefix of groups that has the form of the class."""
    while end > at:
        if is_private(name, text[at:end], Strength.TEXT):
            return end
        cut = max(text.rfind(sign, at, end) for sign in (b" ", b",", b".", b"-", b"/"))
        end = cut if cut > at else at
    return None


def _leaves(text: bytes, at: int, name: Name) -> Iterator[Span]:
    """Yield the private scalars of a flat list, or of an object of numbers."""
    is_date = name.name == "date_of_birth" and text[at : at + 1] == b"{"
    if text[at : at + 1] == b"{" and not is_date:
        return
    end = min(len(text), at + VALUE_BYTES_MAX)
    if bracket := CLOSING.search(text, at + 1, end):
        end = bracket.start()
    for leaf in LEAF.finditer(text, at + 1, end):
        start, stop = leaf.span(leaf.lastindex or 0)
        value = text[start:stop]
        if is_private(name, value, Strength.MIXED) or (is_date and value.isdigit()):
            yield Span(start, stop, name.name, normal_form(name.name, value))
