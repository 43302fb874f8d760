"""What mypy, strict, tells the author of an agent."""

import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("typed_program.py")
# The expected type, or error, is in the line that it is about.
EXPECTED = re.compile(r"reveal_type\(.*\)  # (?P<type>.+)|  # E: (?P<error>.+)")
FOUND = re.compile(
    r".*?:(\d+): (?:note: Revealed type is \"(?P<type>.+)\"|error: (?P<error>.+)  \[)"
)


@pytest.mark.process
def test_the_types_of_a_program_are_those_of_its_functions(tmp_path: Path) -> None:
    # Outside the repository, so that its settings do not apply.
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.read_text("utf-8"), "utf-8")
    options = [
        "--strict",
        "--config-file=",
        "--no-error-summary",
        "--hide-error-context",
    ]
    cache = f"--cache-dir={PROGRAM.parents[2] / '.mypy_cache' / 'user'}"
    # Not in this process: mypy raises the limit of recursion for the tests after it.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, cache, str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    found = {}
    for line in done.stdout.splitlines():
        match = FOUND.match(line)
        assert match, line
        found[int(match[1])] = _short(match["type"] or f"E: {match['error']}")
    expected = {}
    for number, line in enumerate(PROGRAM.read_text("utf-8").splitlines(), 1):
        if match := EXPECTED.search(line):
            expected[number] = match["type"] or f"E: {match['error']}"
    for number, text in expected.items():
        # Of an error, the beginning is enough.
        if text.startswith("E: ") and found.get(number, "").startswith(text):
            found[number] = text
    assert found == expected


def test_the_package_says_that_it_has_types() -> None:
    assert resources.files("semloop").joinpath("py.typed").is_file()


def _short(kind: str) -> str:
    """Return a type without the modules of its names."""
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", kind).removesuffix("?")
