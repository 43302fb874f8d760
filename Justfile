# Bare `just` lists the recipes.
_default:
    @just --list --unsorted

# Create the virtual environment, without torch; run once after cloning.
[group('start')]
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q -c constraints.txt -e '.[all,test]' -e ./packaging/flows

# Start the local stack in the background: broker and flows.
[group('start')]
up: _installed
    .venv/bin/semloop up

# Stop the local stack; the lake is kept.
[group('start')]
down: _installed
    .venv/bin/semloop down

# Fix lint errors and format the code; run before each commit.
[group('check')]
fmt: _installed
    .venv/bin/ruff check --fix-only -q .
    .venv/bin/ruff format -q .

# Check lint and formatting, like CI.
[group('check')]
lint: _installed
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .

# Check types in strict mode, including tests.
[group('check')]
types: _installed
    .venv/bin/mypy

# Run tests: all, or `just test tests/operators`; `-n 0 -s` shows their output.
[group('check')]
test *ARGS: _installed
    .venv/bin/pytest -n 6 --dist loadfile {{ ARGS }}

# Run the CI script in a fresh clone of the last commit.
[group('check')]
ci:
    folder=$(mktemp -d) && git clone -q . "$folder/semloop" && bash "$folder/semloop/.ci/run"

# Faults of a laptop: `just chaos --rounds 100 --seed 19`; or kills: `just chaos --kills 99`.
[group('check')]
chaos *ARGS: _installed
    .venv/bin/python -m tests.storm.chaos {{ ARGS }}

# Kill flow, broker and store under load: `just storm --minutes 15 --seed 7`.
[group('check')]
storm *ARGS: _installed
    .venv/bin/python -m tests.storm {{ ARGS }}

# Run the protocol in memory, faults included: `just simulate --schedules 10000 --seed 7`.
[group('check')]
simulate *ARGS: _installed
    .venv/bin/python -m tests.simulation {{ ARGS }}

# Measure what a million events need: CPU, memory, disk, S3 requests.
[group('run')]
bench-capacity *ARGS: _installed
    .venv/bin/python -m bench.capacity {{ ARGS }}

# Measure how long compaction delays a commit of `archive`.
[group('run')]
bench-compact-delay: _installed
    .venv/bin/python bench/compact_delay.py

# Measure how fast `semloop import` reads each format, and its memory.
bench-import: _installed
    .venv/bin/python -m bench.import_speed

# Measure the cost of emitting an event.
[group('run')]
bench-emit: _installed
    .venv/bin/python bench/emit.py

# Measure CPU and memory of the local stack: `just soak --hours 8`.
[group('run')]
soak *ARGS: _installed
    .venv/bin/python bench/soak.py {{ ARGS }}

# Measure quality and speed of recall; FILE contains conversations.
[group('run')]
bench-recall *FILE: _installed
    .venv/bin/python bench/recall.py {{ FILE }}

# Measure what long texts cost: their memories, and recall over them.
[group('run')]
bench-long-texts: _installed
    .venv/bin/python bench/long_texts.py

# Measure the table of memories: merges, maintenance, searches.
[group('run')]
bench-vectors *ROWS: _installed
    .venv/bin/python bench/vectors.py {{ ROWS }}

# Measure how the table of memories grows under small commits.
[group('run')]
bench-growth *MINUTES: _installed
    .venv/bin/python bench/memory_growth.py {{ MINUTES }}

# How many events a core adds up to metrics, and the memory for many agents.
bench-metrics: _installed
    .venv/bin/python bench/metrics.py

# Compare the default embedder with torch; needs the extra [models].
[group('run')]
bench-embed FILE: _installed
    .venv/bin/python bench/embed.py {{ FILE }}

# Make the pictures in docs/images; needs tmux and Chromium.
[group('run')]
pictures: _installed
    .venv/bin/python -m docs.pictures

# Generate the JSON Schema of events and docs/reference.
[group('run')]
generate: _installed
    .venv/bin/python -m schemas.json_schema
    .venv/bin/python -m docs.generate

# Run a flow in this terminal: `just flow archive --until-caught-up`.
[group('run')]
flow NAME *ARGS: _installed
    .venv/bin/semloop run {{ NAME }} {{ ARGS }}

# Query the lake: `just sql "SELECT count(*) FROM events"`; without a query, a shell.
[group('query')]
sql *QUERY: _installed
    .venv/bin/semloop sql {{ QUERY }}

_installed:
    @test -x .venv/bin/semloop || { echo "Not installed: run \`just setup\` first."; exit 1; }
