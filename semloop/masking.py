"""Hides logins and keys in addresses that an error, a log or a command would show.

`SemLoopError` masks its own texts, so no place that quotes a setting can forget it.
"""

import re

HIDDEN = "***"
# `user:password@` after `https://`, and before a bare `host:port`. Passwords may have
# slashes and `@`, as keys of S3 do: all up to the last `@` of a word is hidden. A path
# such as `/home/me@work` has no colon before its `@` and is shown.
_LOGIN = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.-]*:/{1,2})(?:[^\s/@:]*:[^\s]*@|[^\s/@]+@)"
    r"|(?<![\w/])[^\s'\"`(=,/:@]+:[^\s/][^\s]*@"
)
# The values of `?key=value&key=value`.
_QUERY = re.compile(r"(?P<name>[?&][\w.~%+-]+=)[^\s&'\"`]+")
# A PEM text in place of the path of its file.
_PEM = re.compile(r"-----BEGIN .*", re.DOTALL)


def masked(text: str) -> str:
    """Return a text without the logins, query values and PEM keys in it."""
    if "@" in text:
        text = _LOGIN.sub(lambda found: f"{found['scheme'] or ''}{HIDDEN}@", text)
    if "?" in text:
        text = _QUERY.sub(lambda found: f"{found['name']}{HIDDEN}", text)
    return _PEM.sub(HIDDEN, text) if "-----BEGIN" in text else text
