"""The project's prose uses the standard terms of the field, one meaning per word."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import ROOT

# Words that a reader has to guess at, what to write instead, and why.
BANNED = [
    ("told", "reported, logged, shown", "who reports what to whom stays open"),
    ("said", "message, reported", "documentation and errors do not speak"),
    ("anew", "again, rebuilt", "archaic"),
    ("whoever", "the process that, a caller that", "names no part of the system"),
    ("whatever", "any, everything that", "does not say what is covered"),
    ("nobody|anybody", "no process, no caller", "names no part of the system"),
    ("doubled", "duplicated, twice as long", "two times as much, or stored twice?"),
    ("upkeep", "maintenance", "the standard term"),
    ("mend(s|ed|ing)?", "fix, repair", "the standard terms"),
    ("put together", "compacted, joined", "the standard terms"),
    ("(go|goes|went|going) on", "continue, resume", "the standard terms"),
    ("put back", "set back, restored", "clocks are set, data is restored"),
    ("trouble", "error", "the standard term"),
    ("besides?", "alongside, next to, also", "archaic as a preposition"),
    ("so many", "this many, at most", "a limit without a number"),
    ("so long(?! as)", "this long, at most", "a limit without a number"),
    ("for ever", "indefinitely", "archaic"),
    ("at once", "immediately, at the same time", "it means both"),
    ("is none|are none", "is not a ..., there is no ...", "the noun is missing"),
    ("heard", "received", "the standard term"),
    ("spoken", "formatted, the protocol", "values are formatted"),
    ("settled", "processed, acknowledged", "it had three meanings"),
    ("stands", "is, appears", "a text does not stand"),
    ("bury|buried", "write to the dead letters", "a joke"),
]  # fmt: skip
PATTERNS = [
    (re.compile(rf"(?<![a-z]){words}(?![a-z])"), instead)
    for words, instead, _reason in BANNED
]
# One search in place of many, for all texts without such a word.
ANY = re.compile(rf"(?<![a-z])({'|'.join(words for words, *_ in BANNED)})(?![a-z])")
# Between the words of a name.
BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])|_")
SUFFIXES = {".py", ".md", ".sql", ".toml", ".run", ".sh"}


def test_no_text_or_name_uses_a_banned_word() -> None:
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    found = [line for path in tracked.splitlines() for line in offences(Path(path))]
    assert not found, "\n".join(found)


def offences(path: Path) -> list[str]:
    """One line per banned word of a tracked file: where, the word, what to write."""
    if path == Path(__file__).relative_to(ROOT) or path.suffix not in SUFFIXES:
        return []
    return [
        f"{path}:{number}: {match[0]!r}; write: {instead}"
        for number, text in texts(path)
        if ANY.search(text)
        for pattern, instead in PATTERNS
        if (match := pattern.search(text))
    ]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The lines to check, in lower case, with their numbers.

    Of Python code: names as words, and no comparisons with None, which are no prose.
    """
    source = (ROOT / path).read_text()
    if path.suffix == ".py":
        source = BORDER.sub(" ", source.replace(" is None", ""))
    yield from enumerate(source.lower().splitlines(), 1)
