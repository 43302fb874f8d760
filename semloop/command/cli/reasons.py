"""What each reason of a dead letter means, and what to do about it."""

from schemas.dead_letter import Reason

MEANINGS = {
    Reason.NOT_JSON: "The record is not JSON: let its producer send one JSON object a "
    "message, in UTF-8 without a byte-order mark.",
    Reason.INVALID_UTF8: "Its bytes are not UTF-8: let the producer encode its JSON as "
    "UTF-8.",
    Reason.LONE_SURROGATE: r"An escape such as \ud83d stands without its other half: "
    "let the producer cut texts between characters, not inside one.",
    Reason.NAN_OR_INFINITY: "A number is NaN, infinite or beyond a double, which JSON "
    "cannot hold: let the producer leave the field out.",
    Reason.NOT_AN_OBJECT: "It is JSON but not an object: let the producer send "
    '{"id": ..., "type": ...} itself, not a list or a text that holds it.',
    Reason.MISSING_FIELD: "A required field is absent: the detail names it; let the "
    "producer fill it in.",
    Reason.WRONG_TYPE: "A field has the wrong type: the detail says where and what was "
    "expected; let the producer send that type.",
    Reason.INVALID_VALUE: "A field has the right type but a value that is not allowed: "
    "the detail says where; see schemas/event_envelope.schema.json.",
    Reason.UNKNOWN_TYPE: "The event's `type` is none of those in the detail: let the "
    "producer use one of them.",
    Reason.UNKNOWN_SCHEMA: "Its header `semloop-schema` names a version that this "
    "program does not know: upgrade semloop, or correct the header.",
    Reason.TOO_DEEP: "It is nested too deep: let the producer flatten the payload, or "
    "send the inner part as text.",
    Reason.TOO_LARGE: "It is larger than SEMLOOP_EVENT_BYTES_MAX, so only its size and "
    "hash were kept: send less, or raise that setting.",
    Reason.TIMESTAMP_OUT_OF_RANGE: "Its timestamp is before the year 2000 or in the "
    "future: set the clock of the producer, or the unit of its timestamps.",
    Reason.UNSTORABLE: "The table refused the row: please report it, with the version "
    "of semloop.",
}


def meaning(reason: str) -> str:
    """What a reason means and what to do, in one sentence."""
    if reason not in set(Reason):
        return "A newer semloop wrote this reason: upgrade to have it explained."
    return MEANINGS[Reason(reason)]
