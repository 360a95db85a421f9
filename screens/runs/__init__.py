"""Screens for runs that change hosts: mend, teardown, re-apply."""
