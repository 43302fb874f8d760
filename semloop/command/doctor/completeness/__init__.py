"""Whether a lake is complete: what a back-up that was made under load may lack.

`tables.py`: the logs, and the files that they name; `order.py`: tables that are older
than those that rely on them; `memories.py`, `artifacts.py`: what rows name elsewhere.

The checks read all logs and list all files, so they take longer than those of `doctor`.
They change nothing, and flows may run: each reads a log before it lists the files.
"""

# Name -> location of the function, in the order in which the checks run.
CHECKS = {
    "tables": "semloop.command.doctor.completeness.tables:check",
    "order": "semloop.command.doctor.completeness.order:check",
    "memories": "semloop.command.doctor.completeness.memories:check",
    "artifacts": "semloop.command.doctor.completeness.artifacts:check",
    "redaction key": "semloop.command.doctor.redaction_key:check",
}
REBUILD = "`semloop maintain rebuild`"
# Tables that are made of `events` -> how to make them again.
AGAIN = {
    "episodes": f"run {REBUILD}",
    "agent_metrics": "start `metrics` again; stop it first",
}


def copy_again(*folders: str) -> str:
    """Return what to do about folders that are incomplete."""
    return f"Copy {' and '.join(folders)} again, in the order of docs/backup.md."
