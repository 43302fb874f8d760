"""Decodes and encodes JSON strings as bytes, also those of invalid records."""

import json
import re
from functools import lru_cache

ESCAPED = re.compile(rb'["\\\x00-\x1f]|\xed[\xa0-\xbf][\x80-\xbf]')
LOOSE_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
JSON = json.JSONDecoder(strict=False)


def unescape(content: bytes) -> bytes:
    """Decode the content of a JSON string; unknown escapes decode to themselves."""
    if b"\\" not in content:
        return content
    text = content.decode("utf-8", "surrogateescape")
    try:
        decoded: str = JSON.decode(f'"{text}"')
    except ValueError:
        # A pair of surrogates becomes one character by way of UTF-16.
        utf16 = LOOSE_ESCAPE.sub(_loose_character, text).encode(
            "utf-16", "surrogatepass"
        )
        decoded = utf16.decode("utf-16", "surrogatepass")
    return decoded.encode("utf-8", "surrogatepass")


def _loose_character(escape: re.Match[str]) -> str:
    try:
        return str(JSON.decode(f'"{escape[0]}"'))
    except ValueError:
        return escape[1]


def quoted(content: bytes, closed: bool = True) -> bytes:
    """Encode content as a JSON string, without the end quote if not `closed`."""
    return (
        b'"'
        + ESCAPED.sub(lambda match: _escape(match[0]), content)
        + (b'"' if closed else b"")
    )


@lru_cache(2**12)  # the number of possible characters
def _escape(character: bytes) -> bytes:
    return json.dumps(character.decode("utf-8", "surrogatepass"))[1:-1].encode()
