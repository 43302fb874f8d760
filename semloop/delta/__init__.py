"""Delta tables of a lake: the streams that they record, their versions and files."""
