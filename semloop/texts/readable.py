"""JSON values as readable text: what a string says, not how JSON writes it."""

import re

import msgspec

_decode_text = msgspec.json.Decoder(str).decode
ESCAPE = re.compile(
    r"\\(?:u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|u([0-9a-f]{4})|(.))",
    re.IGNORECASE | re.DOTALL,
)
JSON = re.compile(r"\s*[{\[].*[}\]]\s*\Z", re.DOTALL)
INNER_JSON = re.compile(r'[{\[]\s*\\+"')
RAW = (("\0", "\\\\"), ("\1", '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))
CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}
# JSON in a string of JSON in a string: deeper ones are left as they are.
LEVELS_MAX = 3
SURROGATES = range(0xD800, 0xE000)


def readable(raw: msgspec.Raw) -> str:
    """Return a JSON value as readable text: a string unquoted, any other as JSON.

    Line breaks and characters that JSON escapes are shown as themselves, so that words
    next to them are words; so are those of JSON inside its strings.
    """
    text = str(raw, "utf-8")
    if "\\" not in text:
        return text[1:-1] if text[0] == '"' else text
    if text[0] == '"':
        text = _decode_text(text)
        if not JSON.match(text):
            return text
    for _ in range(LEVELS_MAX):
        if "\\" not in text:
            break
        # Of other texts, such as a path of Windows, backslashes are part.
        has_inner = INNER_JSON.search(text)
        text = _unescaped(text)
        if not has_inner:
            break
    return text


def _unescaped(text: str) -> str:
    """Replace the escapes in a text, by JSON's own decoder if it accepts them."""
    if "\0" in text or "\1" in text:
        return ESCAPE.sub(_shown, text)
    # A JSON string of the same text: only its quotes and line breaks need escapes.
    escaped = text.replace("\\\\", "\0").replace('\\"', "\1").replace('"', '\\"')
    for character, escape in RAW:
        escaped = escaped.replace(character, escape)
    try:
        return _decode_text(f'"{escaped}"')
    except ValueError:
        return ESCAPE.sub(_shown, text)


def _shown(escape: "re.Match[str]") -> str:
    high, low, code, character = escape.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
    if code:
        number = int(code, 16)
        return escape[0] if number in SURROGATES else chr(number)
    return CONTROLS.get(character, character)
