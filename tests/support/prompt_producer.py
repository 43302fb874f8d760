"""A producer for records that a test sends before it runs what it checks."""

from confluent_kafka import Producer

from semloop.kafka.clients import producer_config
from semloop.settings import Settings


def prompt_producer(settings: Settings) -> Producer:
    """Return a producer that sends without delay, to a broker that stays alive.

    An idempotent producer waits half a second or more for its id. This one sends one
    request after the other, so that a retry cannot change the order.
    """
    plain = {"enable.idempotence": False, "max.in.flight": 1}
    return Producer(producer_config(settings) | plain)
