"""Does what a finding says, for `semloop doctor --fix`."""

from semloop.command.doctor import REPORT, Finding, State, warn
from semloop.errors import SemLoopError, unexpected


def fixed(finding: Finding) -> Finding:
    """Return what was done about a finding; the finding itself if nothing can be."""
    if finding.fix is None:
        return finding
    try:
        done = finding.fix()
    except SemLoopError as error:
        why, todo = error.what, error.todo
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        why, todo = f"{named}{error.strerror or type(error).__name__}.", ""
    except Exception as error:  # the next checks run, as after a check that breaks
        why, todo = f"{unexpected(error)}.", REPORT
    else:
        return Finding(finding.check, State.DONE, done)
    found = f"{finding.found}; not done: {why}"
    return warn(finding.check, found, todo or "Check the permissions, then try again.")
