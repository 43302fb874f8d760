"""Queries on a lake: DuckDB, its views, and `recall`."""
