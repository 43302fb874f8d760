"""The files of `deploy/`: they are valid, and start what they name."""
