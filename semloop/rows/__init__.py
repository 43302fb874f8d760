"""Rows of CSV, YAML and TinyDB files as events: `semloop import`, `dual_write`."""
