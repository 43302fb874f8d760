"""What the options of `semloop import` mean to the readers of transcripts."""

from typing import TYPE_CHECKING

from semloop.errors import ConfigError
from semloop.settings import Settings

if TYPE_CHECKING:
    from semloop.rows.columns import Columns
    from sources.transcripts.options import Options

# Formats whose columns the user may choose.
OF_ROWS = ("auto", "csv", "yaml", "rows")


def options_of(
    settings: Settings, agent: str, namespace: str, user: str, since: str
) -> "Options":
    """Return what the user gave for all files."""
    from semloop.command.cli.import_versions import StoredVersions
    from semloop.command.cli.since_option import parse_since
    from sources.transcripts.options import Options
    from sources.transcripts.versions import Versions

    stored = StoredVersions(settings)
    return Options(
        agent=agent or None,
        namespace=namespace or None,
        user=user or None,
        since=parse_since(since) if since else None,
        guess_errors=settings.imports.guess_errors,
        versions=Versions(stored.ids_of, stored.as_stored),
    )


def columns_of(given: list[str], form: str) -> "Columns":
    """Return the columns that the user chose.

    Raises:
        ConfigError: a pair names no field, or the format has no columns.
    """
    from semloop.rows.columns import Columns

    if given and form not in OF_ROWS:
        msg = f"--map applies to rows, not to --format {form}."
        raise ConfigError(msg, f"Give --format {', '.join(OF_ROWS[1:])}, or none.")
    return Columns.parse(given)


def check_format(form: str) -> None:
    """Refuse a format that does not exist."""
    from semloop.command.cli.lake_queries import require_choice
    from sources.transcripts.reader import NAMES

    require_choice(form, NAMES, "format")
