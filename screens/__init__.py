"""The terminal: Textual screens and widgets."""
