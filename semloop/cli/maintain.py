"""`semloop maintain`: upkeep of the lake's tables, beside flows and readers."""

from typing import Annotated

import typer

from semloop.cli.progress import steps
from semloop.errors import ConfigError
from semloop.settings import load

app = typer.Typer(help="Upkeep of the lake's tables.", no_args_is_help=True)

# Embedders that are told which model to use.
WITH_MODELS = ("endpoint", "sentence-transformers")


@app.command()
def index() -> None:
    """Put small files of the memories together and index what is new."""
    from flows.index import index as run

    with steps() as show:
        report = run(load(), show)
    if not report.rows:
        print("There are no memories yet.")
        return
    vectors = "yes" if report.indexed else "no, so few are all compared"
    print(
        f"{report.rows:,} memories in {report.fragments} fragments; index of the "
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
    from flows.reindex import reindex as run

    settings = load(embedder_model=model)
    if model is not None and settings.embedder not in WITH_MODELS:
        msg = f"The embedder {settings.embedder!r} has one model only."
        kinds = " or ".join(WITH_MODELS)
        raise ConfigError(msg, f"Set SEMLOOP_EMBEDDER to {kinds} for --model.")
    with steps() as show:
        report = run(settings, show)
    print(
        f"{report.memories:,} memories made by {report.model}; they are generation "
        f"{report.generation} and hold from now on."
    )
    if model is not None:
        print(f"Set SEMLOOP_EMBEDDER_MODEL={model} for all flows and readers, too.")
