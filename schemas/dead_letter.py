"""Why a record could not become an event: the reason codes of dead letters.

A dead letter's `detail` names the field, what it got and what is allowed, such as
`meta.session_id: this field is required`; it never contains free text of the record.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Reason codes of dead letters; operators alert on them, so they never change."""

    NOT_JSON = "not_json"
    """Not JSON, or with a byte-order mark."""
    INVALID_UTF8 = "invalid_utf8"
    """Bytes that are not UTF-8."""
    LONE_SURROGATE = "lone_surrogate"
    """An escape with half of a surrogate pair, which is not valid Unicode text."""
    NAN_OR_INFINITY = "nan_or_infinity"
    """NaN or Infinity, which JSON does not have, or a number too large for a double."""
    NOT_AN_OBJECT = "not_an_object"
    """JSON, but not an object."""
    MISSING_FIELD = "missing_field"
    """A required field is absent."""
    WRONG_TYPE = "wrong_type"
    """A bool or text for a number, an integer beyond int64, null for text, ..."""
    INVALID_VALUE = "invalid_value"
    """The right type with a value that is not allowed: an id that is not a UUID, ..."""
    UNKNOWN_TYPE = "unknown_type"
    """The event's `type` is not one of `EVENT_TYPES`."""
    UNKNOWN_SCHEMA = "unknown_schema"
    """The header `semloop-schema` names a version this program does not support."""
    TOO_DEEP = "too_deep"
    """Nested deeper than 64 levels."""
    TOO_LARGE = "too_large"
    """Larger than `record_bytes_max`; hash and offset are stored, no content."""
    TIMESTAMP_OUT_OF_RANGE = "timestamp_out_of_range"
    """Before 2000-01-01, or more than 5 minutes later than Kafka's timestamp."""
    UNSTORABLE = "unstorable"
    """The table refused the row."""
