"""events -> sums of counts, credits, tokens and durations, per minute and agent."""
