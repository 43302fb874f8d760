"""What they know of roles."""

from semloop.texts.roles import role_of

__all__ = ["role_of"]
