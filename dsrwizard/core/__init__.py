"""The rules of DSR, without input or output: model, facts, changes, steps, plan, checks."""
