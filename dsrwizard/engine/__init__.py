"""Runs what the core has decided: observe, apply with a journal, verify, watch."""
