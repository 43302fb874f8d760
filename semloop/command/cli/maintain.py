"""`semloop maintain`: maintenance of the lake's tables while flows and readers run."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from semloop import layout
from semloop.command.cli.maintain_all import run_once, run_repeatedly
from semloop.command.cli.maintain_check import check
from semloop.command.cli.maintain_files import Quiet, retain, vacuum
from semloop.command.cli.maintain_rebuild import rebuild
from semloop.command.terminal.printing import note, say
from semloop.command.terminal.progress import step_progress
from semloop.errors import ConfigError, LakeError, StorageUnavailable
from semloop.settings import Settings, load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from sinks.compaction.tables import Report

app = typer.Typer(
    help="Maintain the lake's tables.", add_completion=False, no_args_is_help=True
)

# Embedders with a configurable model.
WITH_MODELS = ("endpoint", "sentence-transformers")


@app.command()
def index() -> None:
    """Compact small files of the memories and update their indexes."""
    from flows.index import index as run
    from flows.logging_setup import configure
    from flows.process_memory import bound_maintenance_memory

    settings = load()
    configure(settings, sys.stderr)
    bound_maintenance_memory()
    with step_progress() as show:
        report = run(settings, show)
    if not report.rows:
        say(f"The lake {settings.lake} has no memories yet.")
        return
    vectors = "used" if report.indexed else "none (table is small; exact search)"
    say(
        f"Memories: {report.rows:,}, fragments: {report.fragments}, vector index: "
        f"{vectors}, indexes built: {', '.join(report.made) or 'none'}."
    )


@app.command()
def compact(
    every: Annotated[
        float | None,
        typer.Option(help="Repeat: seconds between two runs.", min=1),
    ] = None,
    *,
    quiet: Quiet = False,
) -> None:
    """Merge small files of the tables, while flows write and readers read."""
    settings = load()
    if every is None:
        _compact_once(settings, quiet=quiet)
        return
    while True:
        try:
            _compact(settings)  # logs the merges that fail
        except StorageUnavailable as error:
            note(f"{error.what} Trying again in {every:g} s.")
        time.sleep(every)


def _compact_once(settings: Settings, *, quiet: bool) -> None:
    report = _compact(settings)
    if report is None:
        if quiet:
            return
        say(f"No files of the lake {settings.lake} are to be merged.")
        return
    files = sum(report.replaced.values())
    say(f"Replaced {files:,} files by {report.merged:,}.")
    if report.failed:
        msg = f"Compaction failed for {len(report.failed):,} dates of tables."
        raise LakeError(msg, "See the errors above; all other dates are done.")


def _compact(settings: Settings) -> "Report | None":
    """Run the flow if anything is due; its imports take longer than to find out."""
    from flows.compaction_due import compaction_is_due, note_run

    layout.require_lake(Storage.of(settings))
    if not compaction_is_due(settings):
        note_run(settings)
        return None
    from flows.compact import compact as run
    from flows.logging_setup import configure

    configure(settings, sys.stderr)
    return run(settings)


app.command()(retain)
app.command()(vacuum)
app.command()(check)


@app.command("all")
def all_(
    every: Annotated[
        float | None,
        typer.Option(
            help="Repeat: seconds between two looks at what is due by the settings.",
            min=1,
        ),
    ] = None,
) -> None:
    """Run `compact`, `retain`, `vacuum` and `index`, one after the other."""
    settings = load()
    runs = {
        "compact": lambda: _compact_once(settings, quiet=True),
        "retain": lambda: retain(quiet=True),
        "vacuum": lambda: vacuum(quiet=True),
        "index": index,
    }
    if every is None:
        run_once(runs)
    else:
        run_repeatedly(settings, runs, every)


@app.command()
def reindex(
    model: Annotated[
        str | None,
        typer.Option(help="Name or path of the model; overrides the setting."),
    ] = None,
) -> None:
    """Rebuild all memories from events and episodes, and switch to them."""
    from flows.logging_setup import configure
    from flows.reindex import reindex as run

    settings = load(embedder_model=model)
    if model is not None and settings.embedding.kind not in WITH_MODELS:
        msg = f"The embedder {settings.embedding.kind!r} has only one model."
        kinds = " or ".join(WITH_MODELS)
        raise ConfigError(msg, f"To use --model, set SEMLOOP_EMBEDDER to {kinds}.")
    configure(settings, sys.stderr)
    with step_progress() as show:
        report = run(settings, show)
    say(
        f"Memories: {report.memories:,}, model: {report.model}, skipped by settings: "
        f"{report.skipped:,}. Generation {report.generation} is now current."
    )
    if model is not None:
        say(f"Set SEMLOOP_EMBEDDER_MODEL={model} for all flows and readers as well.")


app.command()(rebuild)


@app.command()
def upgrade(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
) -> None:
    """Bring a lake of an earlier version to this one, while flows and readers run.

    Before that, restart all flows with this version: earlier ones are refused
    afterwards. It may be stopped at any moment and run again.
    """
    from flows.logging_setup import configure
    from flows.upgrade import upgrade as run

    settings = load()
    layout.require_lake(Storage.of(settings))
    configure(settings, sys.stderr)
    steps = run(settings, lambda what: say(f"- {what}"), dry_run=dry_run)
    if not steps:
        say(f"The lake {settings.lake} needs no upgrade.")
    elif dry_run:
        say("Nothing was changed.")
    else:
        say(f"The lake {settings.lake} is upgraded.")


@app.command("rotate-key")
def rotate_key(
    *,
    key_lost: Annotated[
        bool,
        typer.Option(
            "--key-lost", help="Rotate without the present key, which is lost for good."
        ),
    ] = False,
) -> None:
    """Use another redaction key for new rows; earlier ones stay for look-up.

    A local lake makes the new key itself. Elsewhere, first set SEMLOOP_REDACTION_KEY to
    the new key and SEMLOOP_REDACTION_KEYS_OLD to the present one, for all writers.
    """
    from semloop.storage.key_file import key_file
    from semloop.storage.key_rotation import rotate

    settings = load()
    storage = Storage.of(settings)
    layout.check(storage)
    found = rotate(settings, storage, key_lost=key_lost)
    where = "SEMLOOP_REDACTION_KEY"
    if settings.redaction.key is None:
        where = str(key_file(storage))
    say(
        f"New rows use the key in {where}, fingerprint {found.present[:12]}; earlier "
        f"keys: {len(found.previous)}.\nBack it up, and restart `archive`."
    )
