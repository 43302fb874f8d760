"""`semloop maintain`: maintenance of the lake's tables while flows and readers run."""

import sys
from typing import Annotated

import typer

from semloop.command.terminal.progress import step_progress
from semloop.errors import ConfigError
from semloop.settings import load

app = typer.Typer(help="Maintain the lake's tables.", no_args_is_help=True)

# Embedders with a configurable model.
WITH_MODELS = ("endpoint", "sentence-transformers")


@app.command()
def index() -> None:
    """Compact small files of the memories and update their indexes."""
    from flows.index import index as run
    from flows.logging_setup import configure

    settings = load()
    configure(settings, sys.stderr)
    with step_progress() as show:
        report = run(settings, show)
    if not report.rows:
        print(f"The lake {settings.lake} has no memories yet.")
        return
    vectors = "used" if report.indexed else "none (table is small; exact search)"
    print(
        f"Memories: {report.rows:,}, fragments: {report.fragments}, vector index: "
        f"{vectors}, indexes built: {', '.join(report.made) or 'none'}."
    )


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
    print(
        f"Memories: {report.memories:,}, model: {report.model}, skipped by settings: "
        f"{report.skipped:,}. Generation {report.generation} is now current."
    )
    if model is not None:
        print(f"Set SEMLOOP_EMBEDDER_MODEL={model} for all flows and readers as well.")
