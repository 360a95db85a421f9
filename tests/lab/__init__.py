"""Tests on the real kernel of the lab."""
