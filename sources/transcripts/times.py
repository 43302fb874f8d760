"""What the readers of transcripts know of times."""

from semloop.texts.times import EPOCH, NAMES, SECONDS_MAX, time_in, time_of

__all__ = ["EPOCH", "NAMES", "SECONDS_MAX", "time_in", "time_of"]
