"""Documentation; `docs.generate` writes its reference."""
