"""Modal dialogs: questions to answer and pages to read."""
