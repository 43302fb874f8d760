"""Replaces data inside texts: images, files and other long runs without words.

A placeholder has the type and size of the decoded data: `[image/png, 1.2 MB]`. The type
comes from a data URL, from a field next to the data (`media_type`, `mimeType`), from
the first bytes of the data, or is how it is written: `base64`, `hex`.
"""

import base64
import binascii
import re
from functools import cache
from typing import Any

from semloop.extras import need
from semloop.texts.media_types import declared_type, type_of_bytes

# Shorter runs stay: hashes, ids, keys, the names of a path.
RUN_CHARS_MIN = 160
# Lines of data are longer than any word; mail has 76 characters a line, PEM 64.
LINE_CHARS_MIN = 56
# Letters of one case and digits without any separator; no word is as long.
UNBROKEN = re.compile(r"[A-Z0-9]{257}|[a-z0-9]{257}")
# A smaller share of words than that is data. Random base64 has a fifth, paths and names
# have over two thirds.
WORDS_SHARE = 0.5
WORD = re.compile(r"[A-Z]?[a-z]{3,60}|[A-Z]{3,60}")
VOWEL = re.compile(r"[aeiouyAEIOUY]")
REPEATED = re.compile(r"(.)\1\1\1")
# A list of hashes, one a line.
HASH_CHARS = {56, 64, 96, 128}
HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
BLANK = re.compile(r"\s+")
# Characters of the data that are decoded to recognize its first bytes.
FIRST_CHARS = 64

CODE = "[A-Za-z0-9+/_-]"
BREAK = r"[ \t]*[\r\n]+[ \t>]*"
LINES = (
    rf"{CODE}{{{LINE_CHARS_MIN},}}+(?:{BREAK}{CODE}{{{LINE_CHARS_MIN},}}+)*"
    rf"(?:{BREAK}{CODE}{{1,{LINE_CHARS_MIN - 1}}}+(?==|[ \t]*(?:[\r\n\"'\\]|\Z)))?"
    r"={0,2}"
)
DATA_URL = re.compile(
    r"data:(?P<type>[a-z]+/[\w.+-]+)?(?:;[\w-]+=[^;,\s\"']*)*"
    rf"(?:(?P<base64>;base64),\s*(?P<code>{LINES}|(?:{CODE}|%[0-9a-f]{{2}})+={{0,2}})"
    rf"|,(?P<plain>[^\s\"'<>()\\]{{{RUN_CHARS_MIN},}}))",
    re.IGNORECASE,
)
BASE64 = re.compile(rf"(?<!{CODE}){LINES}")
# Lines of hexdump, xxd and od: an offset, then bytes.
HEX_DUMP = re.compile(
    r"(?:^[ \t]*[0-9a-f]{4,16}:?(?:[ \t]+[0-9a-f]{2,8}\b){4,32}+"
    r"[^\n]{0,80}(?:\n|\Z)){3,}+",
    re.IGNORECASE | re.MULTILINE,
)
HEX_BYTES = re.compile(
    r"(?<![\w.])(?:(?:0x)?[0-9a-f]{2}[\s,:]{1,2}){64,}+(?:(?:0x)?[0-9a-f]{2}\b)?",
    re.IGNORECASE,
)
# Escapes of a terminal's colours are no part of data, and words stand between them.
ESCAPED = re.compile(
    r"(?:\\(?:x(?!1b\[)[0-9a-f]{2}|[0-7]{3})(?:[^\\\n]|\\[^x0-7\n]){0,16}+){40,}+",
    re.IGNORECASE,
)
PERCENT = re.compile(r"(?:%[0-9a-f]{2}[^\s%]{0,2}+){54,}+", re.IGNORECASE)
# Bytes that were decoded as text. NUL separates words in some outputs.
UNREADABLE = "\x01-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd"
BINARY = re.compile(rf"(?:[^{UNREADABLE}]{{0,16}}+[{UNREADABLE}]){{40,}}+")
BYTE_LIST = re.compile(r"(?<![\w.])(?:\d{1,3}\s*,\s*){255,}+(?:\d{1,3}\b)?")
# A vector: numbers with many digits behind the point.
VECTOR = re.compile(r"(?:-?\d+\.\d{4,}(?:e[+-]?\d+)?\s*(?:,\s*|(?=\]))){64,}+", re.I)
SAME = re.compile(rf"([^\s\w])\1{{{RUN_CHARS_MIN - 1},}}")
# What `without_data` looks for, roughly and in the syntax of RE2, to skip other texts.
GATE = (
    r"data:[A-Za-z]+/|[A-Za-z0-9+/_-]{56}|(?:(?:0x)?[0-9A-Fa-f]{2,8}[ ,:]{1,2}){8}"
    r"|(?:[0-9]{1,3},\s*){16}|[0-9]\.[0-9]{4,},\s*-?[0-9]+\.[0-9]{4}"
    r"|(?:\\[x0-7][0-9a-fA-F]{2}){2}|(?:%[0-9A-Fa-f]{2}){6}|[\x01-\x08\x0e-\x1a\x{FFFD}]"
    r"|[^\s\w]{64}"
)
UNITS = ("bytes", "kB", "MB", "GB")


def without_data(text: str) -> str:
    """Return a text with placeholders for its data.

    Words, paths, URLs, hashes and JSON stay; so do scripts without spaces.
    """
    if len(text) < RUN_CHARS_MIN:
        return text
    text = DATA_URL.sub(_of_data_url, text)
    text = BASE64.sub(_of_code, text)
    text = HEX_DUMP.sub(_of_dump, text)
    text = HEX_BYTES.sub(_of_hex_bytes, text)
    text = ESCAPED.sub(lambda found: placeholder("binary", _escaped(found[0])), text)
    text = PERCENT.sub(lambda found: placeholder("data", _unquoted(found[0])), text)
    text = BINARY.sub(lambda found: placeholder("binary", len(found[0])), text)
    text = BYTE_LIST.sub(_of_byte_list, text)
    text = VECTOR.sub(lambda found: f"{found[0].count('.'):,} numbers", text)
    return SAME.sub(lambda found: found[1] * 3, text)


def may_have_data(text: str) -> bool:
    """Return False if a text certainly has no data; ten times as fast as to replace it.

    Raises:
        MissingExtra: google-re2 is not installed.
    """
    return _gate().search(text) is not None


@cache
def _gate() -> Any:
    return need("re2").compile(GATE)


def placeholder(kind: str, size: float) -> str:
    """Return the placeholder of data.

    Args:
        kind: its type.
        size: its bytes.
    """
    unit = 0
    while size >= 1_000 and unit < len(UNITS) - 1:
        size /= 1_000
        unit += 1
    number = f"{size:.1f}" if unit and size < 10 else f"{size:.0f}"
    return f"[{kind}, {number.removesuffix('.0')} {UNITS[unit]}]"


def _of_data_url(url: "re.Match[str]") -> str:
    kind = url["type"]
    if url["base64"]:
        code = BLANK.sub("", _from_percent(url["code"]))
        return placeholder(kind or _kind_of(code) or "base64", _decoded_size(code))
    return placeholder(kind or "text/plain", _unquoted(url["plain"]))


def _of_code(run: "re.Match[str]") -> str:
    """Return the placeholder of a run, or the run if it has words or is short."""
    rest, lines = "", run[0].splitlines(keepends=True)
    if len(lines) > 1 and not lines[-1].endswith("=") and _is_words(lines[-1].strip()):
        # A word in the line behind the data.
        rest = lines.pop()
    lines = [line.strip(" \t\r\n>") for line in lines]
    code = "".join(lines)
    if len(code) < RUN_CHARS_MIN or _is_words(code) or _are_hashes(lines):
        return run[0]
    kind = declared_type(run.string, run.start(), run.end())
    size = _decoded_size(code)
    if HEX.fullmatch(code):
        is_hex = re.search("[a-fA-F]", code) and len(code) % 2 == 0
        size = len(code) // 2 if is_hex else len(code)
        first = bytes.fromhex(code[:FIRST_CHARS]) if is_hex else b""
        kind = kind or type_of_bytes(first) or ("hex" if is_hex else "data")
    shown = placeholder(kind or _kind_of(code) or "base64", size)
    return f"{shown}\n{rest}" if rest else shown


def _is_words(code: str) -> bool:
    """Return True if most of a run without spaces is words: a path, a long name."""
    if UNBROKEN.search(code):
        return False
    words = sum(
        len(word)
        for word in WORD.findall(code)
        if VOWEL.search(word) and not REPEATED.search(word)
    )
    return words >= WORDS_SHARE * len(code)


def _are_hashes(lines: list[str]) -> bool:
    sizes = {len(line) for line in lines}
    return (
        len(lines) > 1
        and len(sizes) == 1
        and sizes <= HASH_CHARS
        and all(HEX.fullmatch(line) for line in lines)
    )


def _of_dump(dump: "re.Match[str]") -> str:
    digits = 0
    for line in dump[0].splitlines():
        columns = line.split("|")[0].split()[1:]
        for column in columns:
            if not HEX.fullmatch(column) or len(column) % 2:
                break
            digits += len(column)
    return placeholder("hex", digits // 2) + "\n"


def _of_hex_bytes(run: "re.Match[str]") -> str:
    digits = re.findall(r"(?:0x)?([0-9a-fA-F]{2})", run[0])
    code = "".join(digits)
    if not re.search("[a-fA-F]", code):
        return run[0]
    kind = type_of_bytes(bytes.fromhex(code[:FIRST_CHARS]))
    return placeholder(kind or "hex", len(digits))


def _of_byte_list(run: "re.Match[str]") -> str:
    numbers = [int(number) for number in re.findall(r"\d+", run[0])]
    if max(numbers) > 255:
        return run[0]
    kind = declared_type(run.string, run.start(), run.end())
    kind = kind or type_of_bytes(bytes(numbers[:FIRST_CHARS]))
    return placeholder(kind or "binary", len(numbers))


def _kind_of(code: str) -> str | None:
    """Return the type of base64 data by its first bytes."""
    first = code[:FIRST_CHARS].replace("-", "+").replace("_", "/")
    first = first[: len(first) // 4 * 4]
    try:
        return type_of_bytes(base64.b64decode(first))
    except binascii.Error:
        return None


def _decoded_size(code: str) -> int:
    return len(code.rstrip("=")) * 3 // 4


def _from_percent(code: str) -> str:
    return re.sub("%[0-9a-fA-F]{2}", "+", code)


def _unquoted(code: str) -> int:
    return len(code) - 2 * code.count("%")


def _escaped(run: str) -> int:
    return len(run) - 3 * run.count("\\")
