"""Search of memories with one ranking for Python, SQL and the command line."""
