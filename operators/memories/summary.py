"""Summarizes a closed episode in one line, from its row and without a model.

The most important information is first: `Book a flight. Outcome success, reward 0.8.
Tried find, book 3 times, pay. book failed 2 times with Full, worked on retry 2.`
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from operators.episodes.steps import Step, steps_of
from operators.memories.splitter import SENTENCE_ENDS, TOKENS_MAX, WIDE_ENDS, parts_of

# The goal takes at most half of the text, which leaves room for the course of events.
GOAL_TOKENS_MAX = TOKENS_MAX // 2
# Longer names are truncated.
NAME_CHARS_MAX = 64
# Streaks that are always shown, however long the rest of the text is.
STREAKS_MIN = 6
# Maximum number of different failures, and of different errors.
KINDS_MAX = 5
BREAKS = re.compile(r"[\s\x00]+")


class CallStreak(NamedTuple):
    """Consecutive calls of one tool; without a tool, omitted steps."""

    tool: str | None
    steps: int


def episode_text(row: Mapping[str, Any]) -> str:
    """Return the text of a closed episode: at most 240 tokens, never empty.

    It contains the task, or else the request; outcome and reward; the tools called,
    whose middle is omitted first if the text is too long; failures and recoveries;
    errors; the last state; the summary.

    Args:
        row: a row of `EPISODE_REVISIONS`, as Python values.

    Raises:
        MissingExtra: the text may be too long, and tokenizers is not installed.
    """
    steps = steps_of(row["step_log"])
    streaks = _streaks(steps)
    before = [_goal(row["task"]) or _goal(row["request"]), _outcome(row)]
    after = [*_failures(steps), _errors(steps), _last_state(steps), row["summary"]]
    shown = len(streaks)
    while True:
        sentences = map(_sentence, [*before, _tried(streaks, shown), *after])
        parts = parts_of(" ".join(filter(None, sentences)))
        if len(parts) == 1 or shown <= STREAKS_MIN:
            return parts[0]
        shown = max(STREAKS_MIN, shown * 3 // 4)


def _goal(text: str | None) -> str | None:
    parts = parts_of(_one_line(text), GOAL_TOKENS_MAX)
    return f"{parts[0]} …" if len(parts) > 1 else "".join(parts)


def _outcome(row: Mapping[str, Any]) -> str:
    outcome = f"Outcome {row['outcome'] or 'unknown'}"
    if row["reward"] is None:
        return outcome
    # Adding 0 converts -0 to 0.
    return f"{outcome}, reward {round(row['reward'], 2) + 0:g}"


def _streaks(steps: Iterable[Step]) -> list[CallStreak]:
    calls = (step for step in steps if step.tool or step.left_out)
    return [
        CallStreak(tool, sum(step.left_out or 1 for step in streak))
        for tool, streak in groupby(calls, key=lambda step: step.tool)
    ]


def _tried(streaks: Sequence[CallStreak], shown: int) -> str | None:
    """List the streaks; if there are more than `shown`, the first and last ones."""
    if not streaks:
        return None
    first, last = (shown + 1) // 2, len(streaks) - shown // 2
    if hidden := streaks[first:last]:
        middle = CallStreak(None, sum(streak.steps for streak in hidden))
        streaks = [*streaks[:first], middle, *streaks[last:]]
    return f"Tried {', '.join(map(_streak, streaks))}"


def _streak(streak: CallStreak) -> str:
    if streak.tool is None:
        return f"{streak.steps} more {'step' if streak.steps == 1 else 'steps'}"
    return _name(streak.tool) + _times(streak.steps)


def _failures(steps: Iterable[Step]) -> list[str]:
    """List the tools that failed, and the call that worked next."""
    found: Counter[str] = Counter()
    failed: list[Step] = []
    for step in steps:
        if step.left_out:
            # The next call is unknown.
            found.update(_failed(failed, None))
            failed = []
        elif step.tool and step.status == "error":
            failed.append(step)
        elif step.tool:
            found.update(_failed(failed, step.tool))
            failed = []
    found.update(f"{failure}, never recovered" for failure in _failed(failed, None))
    sentences = [_kind(failure, n) for failure, n in list(found.items())[:KINDS_MAX]]
    return (
        [*sentences, "Other calls failed too"] if len(found) > KINDS_MAX else sentences
    )


def _failed(failed: Iterable[Step], worked: str | None) -> Iterable[str]:
    """Yield a sentence for each tool that failed before `worked` succeeded."""
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
    sentences = [name + _times(n) for name, n in types.most_common(KINDS_MAX)]
    return f"Errors: {', '.join(sentences)}" if sentences else None


def _last_state(steps: Iterable[Step]) -> str | None:
    states = [name for step in steps if (name := _name(step.state))]
    return f"Ended in state {states[-1]}" if states else None


def _times(count: int) -> str:
    return f" {count} times" if count > 1 else ""


def _name(name: str | None) -> str:
    """Return a name from an agent, in one line and truncated; may be empty."""
    return _one_line(name)[:NAME_CHARS_MAX]


def _sentence(text: str | None) -> str:
    line = _one_line(text)
    return f"{line}." if line and not line.endswith(SENTENCE_ENDS + WIDE_ENDS) else line


def _one_line(text: str | None) -> str:
    return BREAKS.sub(" ", text or "").strip()
