"""Events -> episodes: one session's work on one task, with its reward."""
