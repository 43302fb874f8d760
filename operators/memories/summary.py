"""What a closed episode was about, in one line, made of its row without a model.

The most telling comes first: `Book a flight. Outcome success, reward 0.8. Tried find,
book 3 times, pay. book failed 2 times with Full, worked on retry 2.`
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from operators.episodes.steps import Step, steps_of
from operators.memories.splitter import SENTENCE_ENDS, TOKENS_MAX, WIDE_ENDS, parts_of

# What the work was takes half of the text at most, so that how it went has room.
GOAL_TOKENS_MAX = TOKENS_MAX // 2
# A longer name says no more.
NAME_CHARS_MAX = 64
# So much of what was tried is told, however long the rest is.
RUNS_MIN = 6
# Of different failures, and of different errors.
KINDS_MAX = 5
BREAKS = re.compile(r"[\s\x00]+")


class Run(NamedTuple):
    """Calls of one tool in a row; without a tool, steps that are left out."""

    tool: str | None
    steps: int


def episode_text(row: Mapping[str, Any]) -> str:
    """The text of a closed episode: at most 240 tokens, never empty.

    Task, or else what was asked; outcome and reward; what was tried, the middle of
    which is left out first where all is too long; what failed and how that was
    recovered; errors; the last state; the summary.

    Args:
        row: of `EPISODE_REVISIONS`, as Python values.

    Raises:
        MissingExtra: the text may be too long, and tokenizers is not installed.
    """
    steps = steps_of(row["step_log"])
    runs = _runs(steps)
    before = [_goal(row["task"]) or _goal(row["request"]), _outcome(row)]
    after = [*_failures(steps), _errors(steps), _last_state(steps), row["summary"]]
    shown = len(runs)
    while True:
        sentences = map(_sentence, [*before, _tried(runs, shown), *after])
        parts = parts_of(" ".join(filter(None, sentences)))
        if len(parts) == 1 or shown <= RUNS_MIN:
            return parts[0]
        shown = max(RUNS_MIN, shown * 3 // 4)


def _goal(text: str | None) -> str | None:
    parts = parts_of(_one_line(text), GOAL_TOKENS_MAX)
    return f"{parts[0]} …" if len(parts) > 1 else "".join(parts)


def _outcome(row: Mapping[str, Any]) -> str:
    outcome = f"Outcome {row['outcome'] or 'unknown'}"
    if row["reward"] is None:
        return outcome
    # Adding 0 makes -0 one.
    return f"{outcome}, reward {round(row['reward'], 2) + 0:g}"


def _runs(steps: Iterable[Step]) -> list[Run]:
    calls = (step for step in steps if step.tool or step.left_out)
    return [
        Run(tool, sum(step.left_out or 1 for step in run))
        for tool, run in groupby(calls, key=lambda step: step.tool)
    ]


def _tried(runs: Sequence[Run], shown: int) -> str | None:
    """The runs, of more than `shown` the first and last ones."""
    if not runs:
        return None
    if hidden := runs[(shown + 1) // 2 : len(runs) - shown // 2]:
        middle = Run(None, sum(run.steps for run in hidden))
        runs = [*runs[: (shown + 1) // 2], middle, *runs[len(runs) - shown // 2 :]]
    return f"Tried {', '.join(map(_run, runs))}"


def _run(run: Run) -> str:
    if run.tool is None:
        return f"{run.steps} more {'step' if run.steps == 1 else 'steps'}"
    return _name(run.tool) + _times(run.steps)


def _failures(steps: Iterable[Step]) -> list[str]:
    """Which tools failed, and which call worked next."""
    found: Counter[str] = Counter()
    failed: list[Step] = []
    for step in steps:
        if step.left_out:
            # Nobody knows what came next.
            found.update(_failed(failed, None))
            failed = []
        elif step.tool and step.status == "error":
            failed.append(step)
        elif step.tool:
            found.update(_failed(failed, step.tool))
            failed = []
    found.update(f"{failure}, never recovered" for failure in _failed(failed, None))
    told = [_kind(failure, n) for failure, n in list(found.items())[:KINDS_MAX]]
    return [*told, "Other calls failed too"] if len(found) > KINDS_MAX else told


def _failed(failed: Iterable[Step], worked: str | None) -> Iterable[str]:
    """A sentence for each tool that failed before `worked` did."""
    by_tool: dict[str, list[Step]] = {}
    for step in failed:
        by_tool.setdefault(step.tool or "", []).append(step)
    for tool, calls in by_tool.items():
        types = dict.fromkeys(filter(None, (_name(c.error_type) for c in calls)))
        sentence = f"{_name(tool)} failed{_times(len(calls))}"
        if types:
            sentence += f" with {' and '.join(list(types)[:KINDS_MAX])}"
        if worked == tool:
            sentence += f", worked on retry {len(calls)}"
        elif worked:
            sentence += f", then {_name(worked)} worked"
        yield sentence


def _kind(failure: str, times: int) -> str:
    return f"{failure} ({times} times)" if times > 1 else failure


def _errors(steps: Iterable[Step]) -> str | None:
    types = Counter(
        name for step in steps if not step.tool and (name := _name(step.error_type))
    )
    told = [name + _times(n) for name, n in types.most_common(KINDS_MAX)]
    return f"Errors: {', '.join(told)}" if told else None


def _last_state(steps: Iterable[Step]) -> str | None:
    states = [name for step in steps if (name := _name(step.state))]
    return f"Ended in state {states[-1]}" if states else None


def _times(count: int) -> str:
    return f" {count} times" if count > 1 else ""


def _name(name: str | None) -> str:
    """A name that agents gave, which may be anything; empty if it is blank."""
    return _one_line(name)[:NAME_CHARS_MAX]


def _sentence(text: str | None) -> str:
    line = _one_line(text)
    return f"{line}." if line and not line.endswith(SENTENCE_ENDS + WIDE_ENDS) else line


def _one_line(text: str | None) -> str:
    return BREAKS.sub(" ", text or "").strip()
