"""Characters that can harm what reads, sorts, matches or prints them."""

import unicodedata

# NUL, escape sequences of terminals, line breaks of several kinds, characters that
# reverse or hide text, what SQL, JSON, paths, logs and markup treat as special.
HOSTILE = (
    "\0\x07\b\t\n\v\f\r\x1b[2J]31m\x7f\x85\x90\x9b\x9c"
    "\u200b\u200e\u2028\u2029\u202e\u2066\ufeff\ufffe\U000e0041\U0010ffff"
    "'\"`\\%_*/.;:<>{}$&| "
)


def hidden_in(text: str) -> set[str]:
    """Return the characters of a text that could control a terminal."""
    return {
        char
        for char in set(text)
        if (
            unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}
            or unicodedata.bidirectional(char).startswith(("LR", "RL", "FS", "PD"))
        )
        and char not in "\n\t"
    }
