"""Delta tables that one fenced writer owns."""
