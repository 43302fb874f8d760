"""Runs checks of `semloop doctor` in this process, as the command does."""

from semloop.command.doctor import Finding, State
from semloop.command.doctor.context import Known
from semloop.command.doctor.examination import Examination
from semloop.settings import Settings

# What the checks of broker and lake build on.
BASIS = ("broker", "topic", "lake")


def examined(settings: Settings, *names: str, **told: str) -> list[Finding]:
    """The findings of the last of these checks; `told`: settings of the topic."""
    return each(settings, *names, **told)[-1]


def each(settings: Settings, *names: str, **told: str) -> list[list[Finding]]:
    """The findings of each of these checks."""
    known = Known(settings=settings)
    found = []
    with Examination(known) as examination:
        for name in names:
            found.append(examination.run(name))
            if name == "topic":
                known.topic_config |= told
    return found


def bad(findings: list[Finding]) -> list[Finding]:
    """Those that are not ok; each says what to do."""
    found = [f for f in findings if f.state is not State.OK]
    assert all(f.todo for f in found)
    return found


def only(findings: list[Finding]) -> Finding:
    """The one that is not ok."""
    (finding,) = bad(findings)
    return finding
