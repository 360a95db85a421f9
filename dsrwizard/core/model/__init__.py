"""What everything else speaks of: deployment, facts, changes, steps, checks, causes, answers, snapshot."""
