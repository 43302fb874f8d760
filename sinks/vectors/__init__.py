"""The LanceDB table of memories: its writer and its maintenance."""
