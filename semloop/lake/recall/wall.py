"""What a caller of recall may see: visible memories behind the walls of the request."""

from dataclasses import dataclass

import numpy as np

from semloop.lake.recall.conditions import EPISODES_MAX, Conditions, conditions_of
from semloop.lake.recall.episodes import Episodes
from semloop.lake.recall.features import Features, Mask, hash_of
from semloop.lake.recall.query_parser import ParsedQuery
from semloop.lake.recall.request import RecallRequest


@dataclass(frozen=True, slots=True)
class Wall:
    """The walls of one request, in one state of the lake."""

    episodes: Episodes
    request: RecallRequest

    def conditions(self, parsed: ParsedQuery) -> Conditions:
        """Return the conditions of the request."""
        request, episodes = self.request, self.episodes
        of_user: list[str] | None = None
        with_reward: list[str] | None = None
        if request.user is not None:
            of_user = episodes.of_user(request.user, request.namespace, EPISODES_MAX)
        if request.min_reward is not None:
            with_reward = episodes.with_reward(
                request.min_reward, request.namespace, EPISODES_MAX
            )
        return conditions_of(request, parsed, of_user, with_reward)

    def allowed(self, features: Features) -> Mask:
        """Return which memories are visible and behind the wall of the user."""
        found = self.episodes.index_of(features.header["episode"])
        mask = self.episodes.visible(features, found)
        if self.request.user is not None:
            # The condition of the search has checked the users of all others.
            is_own = self.episodes.is_of_user(found, self.request.user)
            mask &= (features.header["has_user"] != 0) | is_own
        return mask

    def shows_context(self, features: Features) -> Mask:
        """Return for which memories the text before may be shown."""
        user = self.request.user
        if user is None:
            return np.ones(len(features), bool)
        users = features.header["context_user"]
        found = self.episodes.index_of(features.header["episode"])
        unnamed = (users == 0) & self.episodes.is_of_user(found, user)
        own: Mask = (users == hash_of(user)) | unnamed
        return own

    def has_reward(self, features: Features) -> Mask:
        """Return which memories are of episodes with enough reward."""
        if self.request.min_reward is None:
            return np.ones(len(features), bool)
        found = self.episodes.index_of(features.header["episode"])
        return self.episodes.has_reward(found, self.request.min_reward)
