"""Delta tables of a lake: their versions and files, and the streams they record."""
