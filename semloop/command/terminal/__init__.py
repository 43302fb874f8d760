"""What the commands print: rows, progress, figures and durations."""
