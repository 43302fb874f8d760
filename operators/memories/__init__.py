"""Converts events and closed episodes to texts with vectors for recall."""
