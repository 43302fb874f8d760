"""Entry point of `semloop` and of `python -P -m semloop`.

`-P` keeps modules in the caller's folder from shadowing ours.
"""

import gc
import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command, or print which extra to install if it is missing."""
    if find_spec("typer") is None:
        from semloop.extras import install_todo

        print(
            "The command `semloop` needs packages beyond the base installation.\n"
            + install_todo("all"),
            file=sys.stderr,
        )
        sys.exit(1)
    from semloop.command.cli import main as command
    from semloop.command.lancedb_import_shim import import_less_of_lancedb
    from semloop.command.short_process import short_process
    from semloop.storage.local_files import close_new_files

    close_new_files()
    import_less_of_lancedb()
    with short_process(sys.argv[1:]):
        try:
            command()
        finally:
            # Python would traverse all that was imported once more before it ends.
            gc.freeze()


if __name__ == "__main__":
    main()
