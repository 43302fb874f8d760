"""Files of events or of conversations, line by line, as records to produce."""
