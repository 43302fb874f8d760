"""Where a flow's rows go: one destination per file, named for what is written.

| sink | parallelism | guarantee |
|---|---|---|
| `ArchiveTables` | one writer per worker, each for its own partitions | exactly once |
| `MemoryTables` | the same | each seen exactly once |
| `NewGeneration` | one writer for all | each once, seen after the switch |
| `MemoryUpkeep` | one | same rows |

`commit_loop.py` decides when the tables of a flow commit; `flow_tables.py` says what
differs from flow to flow. In `delta/`, `fenced_table.py` is one table with one writer,
`delta_log.py` is what it needs of storage, and `takeover.py` orders rivals. In
`vectors/`, `table.py` is the table of LanceDB, and `maintenance.py` keeps it quick to
search.
"""
