"""Groups events into episodes: a session's work on one task, with its reward."""
