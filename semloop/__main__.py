"""The command `semloop`; also as `python -P -m semloop`, off the caller's folder."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command; with only the base package installed, say what is missing."""
    if find_spec("typer") is None:
        print(
            "The command `semloop` needs more than the base package.\n"
            "Run: pip install 'semloop[all]'",
            file=sys.stderr,
        )
        sys.exit(1)
    from semloop.command.cli import main as command
    from semloop.command.lancedb_import_shim import skip_rest_client

    skip_rest_client()
    command()


if __name__ == "__main__":
    main()
