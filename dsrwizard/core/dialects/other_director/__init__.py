"""What a run asks of another director: dsrwizard there looks at that machine, or carries steps out on it."""
