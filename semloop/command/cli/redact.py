"""`semloop redact`: shows what redaction replaces in a file, and by which rule."""

import secrets
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from semloop.command.terminal.output import Format, print_rows
from semloop.command.terminal.printing import note
from semloop.errors import ConfigError
from semloop.escaping import visible
from semloop.settings import Secret, Settings, load
from semloop.storage.location import Storage
from semloop.storage.redaction_key import lookup_keys

COLUMNS = ("line", "rule", "text", "pseudonym")
# Limit of the table format; json and csv print the whole text.
TEXT_CHARS_SHOWN = 60
NOTHING = "Nothing in this text is private by the rules of `redact`."


def redact(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A text file; `-` is stdin.")
    ],
    print_text: Annotated[
        bool, typer.Option("--text", help="Print the redacted text instead of a list.")
    ] = False,
    form: Annotated[
        Format, typer.Option("--format", help="Output format.")
    ] = Format.TABLE,
) -> None:
    """Show what would be redacted in a file, and by which rule.

    Each line that is a JSON document is redacted as one, all else as text. Nothing is
    stored. Without a key in the settings or in a local lake, the pseudonyms are those
    of a random key.
    """
    from semloop.redaction.factory import redactor_of

    settings = load()
    text = _read(file)
    redactor = redactor_of(_key(settings), settings.redaction)
    pieces = _pieces(text)
    if print_text:
        for _, piece in pieces:
            raw = piece.encode("utf-8", "surrogateescape")
            sys.stdout.buffer.write(redactor.json(raw))
        return
    rows = []
    for first_line, piece in pieces:
        for start, end, pseudonym, rule in redactor.explain(piece):
            line = first_line + piece.count("\n", 0, start)
            rows.append((line, rule, _shown(piece[start:end], form), pseudonym))
    if not rows and form is Format.TABLE:
        note(NOTHING)
        return
    print_rows(COLUMNS, rows, form)


def _read(file: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as exc:
        msg = f"The file {file} cannot be read: {exc.strerror}."
        raise ConfigError(
            msg, "Pass the path of a text file, or - for stdin."
        ) from None
    return raw.decode("utf-8", "surrogateescape")


def _pieces(text: str) -> list[tuple[int, str]]:
    """Split a text into JSON documents of one line, and the texts between them.

    Each with the number of its first line. A text that is JSON is one piece.
    """
    try:
        msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    else:
        return [(1, text)]
    pieces: list[tuple[int, str]] = []
    was_json = True
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        is_json = line.startswith(("{", "["))
        if is_json or was_json or not pieces:
            pieces.append((number, line))
        else:
            first, before = pieces[-1]
            pieces[-1] = (first, before + line)
        was_json = is_json
    return pieces


def _key(settings: Settings) -> Secret:
    """Return the key of the settings or of the local lake, else a random one."""
    if settings.redaction.key or settings.on_s3:
        return settings.redaction.key or _random_key()
    keys = lookup_keys(settings, Storage.of(settings))
    return keys[0] if keys else _random_key()


def _random_key() -> Secret:
    return Secret(secrets.token_hex(32))


def _shown(text: str, form: Format) -> str:
    if form is not Format.TABLE:
        return text.encode("utf-8", "replace").decode()
    shown = visible(text).replace("\n", "↵")
    return shown if len(shown) <= TEXT_CHARS_SHOWN else f"{shown[:TEXT_CHARS_SHOWN]}…"
