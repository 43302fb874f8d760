"""Redacts batches of records; `semloop.redaction` decides what is private."""
