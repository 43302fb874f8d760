r"""Shows characters that would control a terminal as escapes, such as `\u001b`.

Ids, texts and even the names of columns may come from anyone. `SemLoopError` escapes
its own texts, `semloop/command/terminal/printing.py` all that commands print, and the
logs of flows on a terminal their values.
"""

import functools
import re

# Categories of Unicode: control characters, halves of surrogate pairs, separators of
# lines and paragraphs, and formats, which reorder, hide or join the visible text.
HIDDEN = {"Cc", "Cs", "Zl", "Zp", "Cf"}
# Formats that texts need: joiners in emoji and in Persian and Indian scripts, and the
# soft hyphen.
ALLOWED = "\u200c\u200d\u00ad"
# Unicode's own line breaks, which few texts use.
LINE_ENDS = str.maketrans("\u2028\u2029", "\n\n")
_UNUSUAL = re.compile(r"[^\n\t -~]")
_UNUSUAL_IN_JSON = re.compile(r"[^ -~]")


def visible(text: str) -> str:
    """Escape hidden characters of a text; line breaks and tabs stay."""
    if text.replace("\n", " ").replace("\t", " ").isprintable():
        return text
    return _UNUSUAL.sub(lambda found: _escaped(found[0]), text)


def one_line(text: str | None) -> str:
    """Escape hidden characters, and join the lines and words of a text by blanks."""
    return " ".join(visible(text.translate(LINE_ENDS)).split()) if text else ""


def visible_json(document: str) -> str:
    """Escape hidden characters in the strings of a JSON document; it stays equal.

    Args:
        document: JSON on one line.
    """
    if document.isprintable():
        return document
    return _UNUSUAL_IN_JSON.sub(lambda found: _escaped_in_json(found[0]), document)


@functools.lru_cache(4096)
def _escaped(char: str) -> str:
    if not _is_hidden(char):
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


@functools.lru_cache(4096)
def _escaped_in_json(char: str) -> str:
    import json

    return json.dumps(char)[1:-1] if _is_hidden(char) else char


def _is_hidden(char: str) -> bool:
    import unicodedata

    return char not in ALLOWED and unicodedata.category(char) in HIDDEN
