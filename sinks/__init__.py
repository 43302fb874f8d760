"""The destinations of a flow's rows: one file each, named for what it writes.

| sink | parallelism | guarantee |
|---|---|---|
| `ArchiveTables` | one writer per worker, each for its own partitions | exactly once |
| `MemoryTables` | the same | each row visible exactly once |
| `MetricsTables` | the same | each event in the sums exactly once |
| `NewGeneration` | one writer for all partitions | each row once, after the switch |
| `IndexMaintenance` | one process | the rows do not change |
| `CompactedTables` | any; workers have different files | each row stays exactly once |
| `RetainedTables` | a date of a table | only expired rows go |
| `VacuumedTables` | a table | no file of the newest version is deleted |

`commit_loop.py` decides when the tables of a flow commit; `flow_tables.py` declares
what differs between flows. In `delta/`, `fenced_table.py` is a table with one writer,
`delta_log.py` is the storage interface that it needs, and `takeover.py` decides between
rival writers. In `vectors/`, `table.py` is the LanceDB table, and `maintenance.py`
keeps its searches fast.
"""
