"""The live view, its rows and its timeline."""
