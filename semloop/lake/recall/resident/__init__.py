"""Memories in memory: the searches of a recall without LanceDB."""
