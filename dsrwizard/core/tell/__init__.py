"""Texts for people and programs: differences, commands, tickets, incidents, metrics, runbooks."""
