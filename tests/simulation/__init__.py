"""The protocol of the tables under schedules of faults, on a store in memory."""
