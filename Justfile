# Bare `just` lists the recipes.
_default:
    @just --list --unsorted

# Once after cloning: the virtual environment with everything but torch.
[group('start')]
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q -c constraints.txt -e '.[all,test]' -e ./packaging/flows

# Start the local stack: broker and flows, in the background.
[group('start')]
up: _installed
    .venv/bin/semloop up

# Stop it again; the lake stays.
[group('start')]
down: _installed
    .venv/bin/semloop down

# Before each commit: put the code into shape.
[group('check')]
fmt: _installed
    .venv/bin/ruff check --fix-only -q .
    .venv/bin/ruff format -q .

# Lint and form, as CI checks them.
[group('check')]
lint: _installed
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .

# Types, strict, tests too.
[group('check')]
types: _installed
    .venv/bin/mypy

# The tests; `just test tests/operators` for some, `-n 0 -s` to see what they print.
[group('check')]
test *ARGS: _installed
    .venv/bin/pytest {{ ARGS }}

# Exactly what CI runs, in a fresh clone of the last commit.
[group('check')]
ci:
    folder=$(mktemp -d) && git clone -q . "$folder/semloop" && bash "$folder/semloop/.ci/run"

# Kill flow, broker and store while events come: `just storm --minutes 15 --seed 7`.
[group('check')]
storm *ARGS: _installed
    .venv/bin/python -m tests.storm {{ ARGS }}

# What an event costs the agent that sends it.
[group('run')]
bench-emit: _installed
    .venv/bin/python bench/emit.py

# How good and how quick recall is; `just bench-recall FILE` with conversations.
[group('run')]
bench-recall *FILE: _installed
    .venv/bin/python bench/recall.py {{ FILE }}

# What the table of memories costs: merges, upkeep, searches.
[group('run')]
bench-vectors *ROWS: _installed
    .venv/bin/python bench/vectors.py {{ ROWS }}

# Speed and quality of the default embedder against torch; needs the extra [models].
[group('run')]
bench-embed FILE: _installed
    .venv/bin/python bench/embed.py {{ FILE }}

# Regenerate what is generated: the JSON Schema of events.
[group('run')]
generate: _installed
    .venv/bin/python -m schemas.json_schema

# Run a flow in this terminal: `just flow archive --until-caught-up`.
[group('run')]
flow NAME *ARGS: _installed
    .venv/bin/semloop run {{ NAME }} {{ ARGS }}

# Ask the lake: `just sql "SELECT count(*) FROM events"`, or a shell without a query.
[group('look')]
sql *QUERY: _installed
    .venv/bin/semloop sql {{ QUERY }}

_installed:
    @test -x .venv/bin/semloop || { echo "Not installed: run \`just setup\` first."; exit 1; }
