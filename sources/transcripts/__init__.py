"""Readers of event and chat files: one line at a time, as records to produce."""
