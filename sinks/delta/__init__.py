"""Delta tables as one fenced writer holds them."""
