"""The redactor of the flows."""

from semloop.redaction.factory import redactor_of
from semloop.redaction.redactor import Redactor

__all__ = ["Redactor", "redactor_of"]
