"""The dialects: the scripts and commands for each system."""
