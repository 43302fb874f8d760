#!/bin/sh
# What waxctl's chart starts, in the image's working folder. `exec` keeps the exit code
# of the flow and passes signals on.
cd "$BYTEWAX_WORKDIR" || exit 1
exec tini -- python -m bytewax.run "$BYTEWAX_PYTHON_FILE_PATH"
