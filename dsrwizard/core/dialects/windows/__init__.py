"""The Windows dialect: facts, steps, and the scripts of two generations. See the module docstrings."""
