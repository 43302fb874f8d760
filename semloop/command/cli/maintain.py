"""`semloop maintain`: upkeep of the lake's tables, beside flows and readers."""

import sys
from typing import Annotated

import typer

from semloop.command.terminal.progress import steps
from semloop.errors import ConfigError
from semloop.settings import load

app = typer.Typer(help="Upkeep of the lake's tables.", no_args_is_help=True)

# Embedders that are told which model to use.
WITH_MODELS = ("endpoint", "sentence-transformers")


@app.command()
def index() -> None:
    """Put small files of the memories together and index what is new."""
    from flows.index import index as run
    from flows.logging_setup import configure

    settings = load()
    configure(settings, sys.stderr)
    with steps() as show:
        report = run(settings, show)
    if not report.rows:
        print(f"The lake {settings.lake} has no memories yet.")
        return
    vectors = "yes" if report.indexed else "no, so few are all compared"
    print(
        f"Memories: {report.rows:,}, fragments: {report.fragments}; index of the "
        f"vectors: {vectors}; made anew: {', '.join(report.made) or 'nothing'}."
    )


@app.command()
def reindex(
    model: Annotated[
        str | None,
        typer.Option(help="Name or path of the model, instead of the settings' one."),
    ] = None,
) -> None:
    """Make all memories anew from events and episodes, and switch to them."""
    from flows.logging_setup import configure
    from flows.reindex import reindex as run

    settings = load(embedder_model=model)
    if model is not None and settings.embedding.kind not in WITH_MODELS:
        msg = f"The embedder {settings.embedding.kind!r} has one model only."
        kinds = " or ".join(WITH_MODELS)
        raise ConfigError(msg, f"Set SEMLOOP_EMBEDDER to {kinds} for --model.")
    configure(settings, sys.stderr)
    with steps() as show:
        report = run(settings, show)
    print(
        f"Memories made: {report.memories:,}, by {report.model}, left out by the "
        f"settings: {report.skipped:,}; generation {report.generation} holds now."
    )
    if model is not None:
        print(f"Set SEMLOOP_EMBEDDER_MODEL={model} for all flows and readers, too.")
