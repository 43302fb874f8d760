"""What happened that was like this? One ranking, for Python, SQL and the command."""
