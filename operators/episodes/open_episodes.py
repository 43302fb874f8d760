"""The open episodes of one partition, and which of them close when there are too many.

The bound of a namespace applies first, so that one with many sessions does not close
the episodes of others; the bound of all namespaces limits the memory.
"""

from collections import OrderedDict
from collections.abc import Iterator

from operators.episodes.episode import Episode
from operators.episodes.events import Event
from semloop.settings.memory_sections import EpisodeSettings

# (namespace, session id).
SessionKey = tuple[str | None, str]


def key_of(owner: Event | Episode) -> SessionKey:
    """Return the session of an event or an episode."""
    return owner.namespace, owner.session_id


class OpenEpisodes:
    """Open episodes by session, in the order of their last update."""

    def __init__(self) -> None:
        # The least recently updated one is first.
        self._episodes: OrderedDict[SessionKey, Episode] = OrderedDict()
        self._by_namespace: dict[str | None, OrderedDict[SessionKey, None]] = {}

    def __len__(self) -> int:
        """Return the number of open episodes."""
        return len(self._episodes)

    def __iter__(self) -> Iterator[Episode]:
        """Iterate over the episodes, the least recently updated one first."""
        return iter(self._episodes.values())

    def get(self, session: SessionKey) -> Episode | None:
        """Return the open episode of a session."""
        return self._episodes.get(session)

    def add(self, episode: Episode) -> None:
        """Add the episode of a session that has none."""
        key = key_of(episode)
        self._episodes[key] = episode
        self._by_namespace.setdefault(episode.namespace, OrderedDict())[key] = None

    def touch(self, episode: Episode) -> None:
        """Mark an episode as the most recently updated one."""
        key = key_of(episode)
        self._episodes.move_to_end(key)
        self._by_namespace[episode.namespace].move_to_end(key)

    def remove(self, episode: Episode) -> None:
        """Remove an episode."""
        key = key_of(episode)
        del self._episodes[key]
        own = self._by_namespace[episode.namespace]
        del own[key]
        if not own:
            del self._by_namespace[episode.namespace]

    def evict(
        self, namespace: str | None, settings: EpisodeSettings
    ) -> Iterator[Episode]:
        """Remove and yield the episodes beyond the bounds, after a change.

        Args:
            namespace: the namespace that was changed.
            settings: the bounds `open_episodes` and `open_episodes_total`.
        """
        own = self._by_namespace.get(namespace, OrderedDict[SessionKey, None]())
        while len(own) > settings.open_episodes:
            episode = self._episodes[next(iter(own))]
            self.remove(episode)
            yield episode
        while len(self._episodes) > settings.open_episodes_total:
            episode = next(iter(self._episodes.values()))
            self.remove(episode)
            yield episode
