"""Where a flow's rows go: one destination per file, named for what is written.

| sink | parallelism | guarantee |
|---|---|---|
| `ArchiveTables` | one writer per worker, each for its own partitions | exactly once |
| `MemoryTables` | the same | each seen exactly once |

`fenced_table.py` holds one Delta table for one writer, `takeover.py` orders rivals,
`vector_table.py` holds LanceDB's, `vector_index.py` keeps it quick to search,
`snapshot.py` reads what a handle sees, `storage_errors.py` says what storage said.
"""
