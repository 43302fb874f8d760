"""Terminal output shared by all commands: rows, progress, figures and durations."""
