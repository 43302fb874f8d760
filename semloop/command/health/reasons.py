"""What each kind of unwelcome record means, and what to do about it.

The only such table: `dlq`, `health`, `doctor`, `status` and the reference print it.
"""

from schemas.dead_letter import Reason
from semloop.progress.activity import DUPLICATE, MISROUTED

MEANINGS = {
    Reason.NOT_JSON: "The record is not JSON: the producer must send one JSON object "
    "per message, in UTF-8 without a byte-order mark.",
    Reason.INVALID_UTF8: "The record is not UTF-8: the producer must encode its JSON "
    "as UTF-8.",
    Reason.LONE_SURROGATE: r"An escape such as \ud83d is not part of a surrogate pair: "
    "the producer must cut texts between characters, not inside one.",
    Reason.NAN_OR_INFINITY: "A number is NaN, infinite or too large for a double, "
    "which JSON does not allow: the producer must omit the field.",
    Reason.NOT_AN_OBJECT: "The record is JSON but not an object: the producer must "
    'send {"id": ..., "type": ...} itself, not a list or string that contains it.',
    Reason.MISSING_FIELD: "A required field is missing: the producer must set the "
    "field named in the detail.",
    Reason.WRONG_TYPE: "A field has the wrong type: the producer must send the type "
    "given in the detail.",
    Reason.INVALID_VALUE: "A field has a value that is not allowed: the detail names "
    "it; see schemas/event_envelope.schema.json.",
    Reason.UNKNOWN_TYPE: "The event's `type` is unknown: the producer must use one of "
    "the types in the detail.",
    Reason.UNKNOWN_SCHEMA: "The header `semloop-schema` has a version that this "
    "program does not support: upgrade semloop, or correct the header.",
    Reason.TOO_DEEP: "The record is nested too deeply: the producer must flatten the "
    "payload, or send the inner part as text.",
    Reason.TOO_LARGE: "The record is larger than SEMLOOP_RECORD_BYTES_MAX, so only its "
    "size and hash were stored: send less data, or raise that setting.",
    Reason.TIMESTAMP_OUT_OF_RANGE: "The timestamp is before the year 2000 or in the "
    "future: correct the producer's clock, or the unit of its timestamps.",
    Reason.UNSTORABLE: "The table rejected the row: please report this as a bug, with "
    "the version of semloop.",
}
ACCEPTED_MEANINGS = {
    DUPLICATE: "An event's id was stored before, and the producer did not mark the "
    "record as sent again: give each event an id of its own, and send it once.",
    MISROUTED: "The Kafka key of a record is not its session: the producer must set it "
    "to meta.session_id, else sessions lose their order and repeats are stored.",
}


def meaning(reason: str) -> str:
    """Return what a reason, or another kind, means and what to do, in one sentence."""
    if reason in ACCEPTED_MEANINGS:
        return ACCEPTED_MEANINGS[reason]
    if reason not in set(Reason):
        return "A newer semloop wrote this reason: upgrade to see its explanation."
    return MEANINGS[Reason(reason)]
