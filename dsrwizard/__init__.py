"""dsrwizard: Layer-4 Direct Server Return, set up on both sides, proved through every real server, and watched."""

__version__ = "0.1.0"
