"""New rows of the table `events`, in the order of their offsets."""
