"""Readers of new rows of the table `events`, in offset order."""
