"""Expiry of rows: which rows of a date go, and the log entry by which they go."""
