"""Makes the pictures in `docs/images`: `python -m docs.pictures`."""
