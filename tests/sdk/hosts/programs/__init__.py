"""Host programs; each is run as a module in a process of its own."""
