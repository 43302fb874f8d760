"""Replaces private content in the raw bytes of records by pseudonyms."""
