"""What the journal adds up to: what is owed, and the timeline."""
