"""Barracuda: what it says over REST, held against a deployment."""
