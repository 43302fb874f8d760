"""Private content replaced by pseudonyms, in the raw bytes of records."""
