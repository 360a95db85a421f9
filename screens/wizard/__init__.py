"""The wizard: the shell and one pane per step."""
