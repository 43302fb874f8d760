"""Moves values that are too large for a row to objects next to the tables."""
