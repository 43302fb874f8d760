"""Raw records -> events, or dead letters with a reason."""
