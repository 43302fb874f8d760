"""Error codes of Kafka's protocol that the broker answers with."""

from enum import IntEnum


class Code(IntEnum):
    """A code, with what clients do about it."""

    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    MESSAGE_TOO_LARGE = 10
    INVALID_TOPIC = 17
    NOT_ENOUGH_REPLICAS = 19
    """Nothing was stored; producers try again until their time-out."""
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    UNKNOWN_MEMBER_ID = 25
    REBALANCE_IN_PROGRESS = 27
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_CONFIG = 40
    INVALID_REQUEST = 42
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    """The batch is stored already; producers count it as delivered."""
    INVALID_PRODUCER_EPOCH = 47
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    ILLEGAL_SASL_STATE = 34
    KAFKA_STORAGE_ERROR = 56
    """Readers try again."""
    GROUP_ID_NOT_FOUND = 69
    UNKNOWN_TOPIC_ID = 100


class Refused(Exception):
    """Raised where a request, or a part of it, is answered with an error code."""

    def __init__(self, code: Code, message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
