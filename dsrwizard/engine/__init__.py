"""The engine: observes, applies with a journal, verifies and watches as the core decides."""
