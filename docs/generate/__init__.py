"""Generates `docs/reference`: one module per page, each with a function `page`."""
