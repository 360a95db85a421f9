"""The diagnosis of Linux real servers."""
