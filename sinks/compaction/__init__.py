"""Compaction of Delta tables: the merged file, and the log entry that adds it."""
