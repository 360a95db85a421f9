"""The commands: the same engine without a screen, for scripts, tickets and screen readers."""
