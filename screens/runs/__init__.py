"""Runs on a screen of their own: mend, teardown, apply again."""
