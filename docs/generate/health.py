"""The page of the codes of `semloop health`, from `semloop/command/health/codes.py`."""

from docs.generate.markdown import table
from semloop.command.health.codes import CODES, Code

INTRODUCTION = """# Codes of `semloop health`

Each check of `semloop health` has a stable code. `semloop health --json` prints an
array with one object per check: `code`, `status` (`ok`, `note`, `warn`, `fail`),
`what`, `todo`, and `figures`, the numbers and names of the text. `--format json` groups
them by part. `--watch` continues, and prints what changes. No content of a record is
shown. Source: `semloop/command/health/codes.py`.

| exit code | meaning |
| --- | --- |
| 0 | All checks pass; notes do not count. |
| 1 | At least one check fails: something does not work, or records are refused. |
| 2 | No check fails, but one warns: it works late, or not for long. |

For probes of an orchestrator, `--ready` and `--live` run the checks that the table
names, and exit with 0 or 1 only. A restart does not repair a producer or a full disk:
do not use `semloop health` without one of them as a liveness probe.

"""


def page() -> str:
    """Return the page."""
    rows = [
        (f"`{name}`", code.meaning, code.todo, _probes(code))
        for name, code in CODES.items()
    ]
    return INTRODUCTION + table(("code", "what is wrong", "what to do", "probes"), rows)


def _probes(code: Code) -> str:
    probes = {"`--ready`": code.ready, "`--live`": code.live}
    return ", ".join(name for name, is_part in probes.items() if is_part)
