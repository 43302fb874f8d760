"""Rewards, outcomes and ratings that a transcript tells about itself."""

from collections.abc import Mapping
from typing import Literal

from semloop.event import NAME_CHARS_MAX, Completion, Feedback
from sources.transcripts.conversation import Conversation
from sources.transcripts.parts import word
from sources.transcripts.unread import keep, taken, unread

OUTCOME_FIELDS = ("reward", "resolved", "outcome", "feedback", "scores")
_OUTCOMES: dict[str, Literal["success", "partial", "failure"]] = {
    "success": "success", "succeeded": "success", "passed": "success",
    "resolved": "success", "partial": "partial", "failure": "failure",
    "failed": "failure", "unresolved": "failure", "error": "failure",
}  # fmt: skip
_HUMAN = frozenset(["human", "annotation", "user", "app"])


def number(value: object) -> float | None:
    """Return a finite number; None if it is anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 else None


def tell_outcome(talk: Conversation, fields: Mapping[str, object]) -> None:
    """Add the ratings of a transcript, then its outcome, if it has any."""
    for name in ("feedback", "scores"):
        rating = fields.get(name)
        if isinstance(rating, str) and rating:
            rating = {"name": name, "comment": rating}
        for one in rating if isinstance(rating, list) else [rating]:
            if one is not None and one != {}:
                talk.ledger.met += 1
                tell_rating(talk, one)
    reward = number(fields.get("reward"))
    resolved, outcome = fields.get("resolved"), fields.get("outcome")
    talk.at_unit(None)
    if reward is not None:
        talk.ledger.met += 1
        talk.complete(reward)
    elif isinstance(resolved, bool):
        talk.ledger.met += 1
        talk.complete(1.0 if resolved else 0.0)
    elif isinstance(outcome, str) and outcome.lower() in _OUTCOMES:
        talk.ledger.met += 1
        talk.add("completion", Completion(_OUTCOMES[outcome.lower()]))
    for name in ("reward", "resolved", "outcome"):
        value = fields.get(name)
        if isinstance(value, (str, dict, list)) and value and not (
            name == "outcome" and isinstance(value, str) and value.lower() in _OUTCOMES
        ):  # fmt: skip
            talk.ledger.met += 1
            talk.ledger.leave_out(name, "is of unknown form")


def tell_rating(talk: Conversation, rating: object) -> None:
    """Add a score in the words of LangSmith, Langfuse and ours; its unit is met."""
    if not isinstance(rating, dict):
        talk.ledger.leave_out("rating", "is no object")
        return
    name = word(rating, "name", "key", "metric") or "score"
    score = number(rating.get("score"))
    value = rating.get("value")
    if score is None:
        score = number(value)
    if score is None and isinstance(value, bool):
        score = float(value)
    label = word(rating, "label", "stringValue") or (
        value if isinstance(value, str) and value else None
    )
    comment = rating.get("comment")
    source = str(rating.get("source") or rating.get("source_type") or "").lower()
    given = Feedback(
        name=name[:NAME_CHARS_MAX],
        source="human" if source in _HUMAN else "evaluator",
        score=score,
        label=None if label is None else label[:NAME_CHARS_MAX],
        comment=comment if isinstance(comment, str) and comment else None,
    )
    draft = talk.rate(given)
    known = {taken(rating, ("name", "key", "metric")), "score", "value", "comment"}
    keep(draft, unread(rating, {*known, taken(rating, ("label", "stringValue"))}))
