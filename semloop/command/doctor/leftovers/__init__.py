"""What crashes, kills and moves left over: how it is found, and what removes it.

`stack.py`: files and processes of a stack that is dead; `generations.py`: tables of
memories; `files.py`: data files and drafts that no log names; `activity.py`: records of
flows and hosts that are gone. What agents left is in `semloop/command/doctor/spool.py`.

Nothing is removed that a process may still use. Where a lock or a mark tells that a
process is dead, it decides; elsewhere only what is older than `SAFE_S` is removed.
"""

# A writer names a file in a log within seconds, or minutes while storage is down; a
# laptop may sleep meanwhile. A query reads a version for minutes.
SAFE_HOURS = 24
SAFE_S = SAFE_HOURS * 3_600.0
