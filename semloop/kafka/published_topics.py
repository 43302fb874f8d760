"""The topics that flows produce to: their names on the broker, and their creation."""

from collections.abc import Mapping, Sequence

from semloop.errors import ConfigError, TopicMissing
from semloop.kafka.topic import TopicAdmin
from semloop.published import PUBLISHED, PublishedTopic
from semloop.settings import Settings

# The embedded broker has no policies; it deletes the oldest files beyond this size.
EMBEDDED_CONFIG = {"retention.bytes": str(8 * 2**20)}


def topic_name(settings: Settings, topic: PublishedTopic) -> str:
    """Return the name of a topic on the broker.

    Raises:
        ConfigError: it is the topic of the events.
    """
    name = f"{settings.publish.prefix}{topic.name}"
    if name == settings.topic:
        msg = f"Topic {name!r} is that of the events, and of {topic.name!r} to publish."
        raise ConfigError(msg, "Set SEMLOOP_PUBLISH_PREFIX to another beginning.")
    return name


def ensure(settings: Settings) -> list[str]:
    """Create the topics to publish that do not exist; return the names of all.

    Raises:
        BrokerError: the broker refuses. BrokerUnavailable: it does not answer.
    """
    names = []
    for topic in _wanted(settings):
        name = topic_name(settings, topic)
        with TopicAdmin(settings.replace(topic=name)) as admin:
            configs: Sequence[Mapping[str, str]] = (topic.config, EMBEDDED_CONFIG)
            admin.ensure(configs)
        names.append(name)
    return names


def missing(settings: Settings, topics: Sequence[PublishedTopic] = ()) -> list[str]:
    """Return the names of topics that do not exist; by default of all to publish.

    A producer must not be the one who finds out: brokers may then create the topic with
    a configuration of their own.

    Raises:
        BrokerError: the broker refuses. BrokerUnavailable: it does not answer.
    """
    names = []
    for topic in topics or _wanted(settings):
        name = topic_name(settings, topic)
        try:
            with TopicAdmin(settings.replace(topic=name)) as admin:
                admin.describe()
        except TopicMissing:
            names.append(name)
    return names


def _wanted(settings: Settings) -> list[PublishedTopic]:
    return [PUBLISHED[name] for name in settings.publish.topics]
