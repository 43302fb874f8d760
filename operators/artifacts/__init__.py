"""Moves values that are too large for a row to objects beside the tables."""
