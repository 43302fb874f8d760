"""Runs checks of `semloop doctor` in this process, as the command does."""

from collections.abc import Callable

from semloop.command.doctor import Finding, State
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.runner import CheckRunner
from semloop.settings import Settings

# Checks on which those of topic offsets and lag depend.
BASE_CHECKS = ("broker", "topic", "lake")
# The fixtures `read` and `send`.
Read = Callable[..., None]
Send = Callable[..., None]


def findings_of(settings: Settings, *names: str, **topic_config: str) -> list[Finding]:
    """Run these checks in order; return the findings of the last one."""
    return all_findings(settings, *names, **topic_config)[-1]


def all_findings(
    settings: Settings, *names: str, **topic_config: str
) -> list[list[Finding]]:
    """Run these checks in order; `topic_config` overrides the reported values."""
    context = CheckContext(settings=settings)
    found = []
    with CheckRunner(context) as runner:
        for name in names:
            found.append(runner.run(name))
            if name == "topic":
                context.topic_config |= topic_config
    return found


def problems(findings: list[Finding]) -> list[Finding]:
    """Return the findings that are not ok; each must have a todo."""
    found = [f for f in findings if f.state is not State.OK]
    assert all(f.todo for f in found)
    return found


def only_problem(findings: list[Finding]) -> Finding:
    """Return the single finding that is not ok."""
    (finding,) = problems(findings)
    return finding
