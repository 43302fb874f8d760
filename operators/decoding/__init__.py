"""Decodes raw records into events, or dead letters with a reason."""
