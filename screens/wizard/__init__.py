"""The wizard: its shell and the pane of each step."""
