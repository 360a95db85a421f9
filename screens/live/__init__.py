"""The live view: its screens, rows and timeline."""
