"""Input: reading and validating fields, drafts, deployment files and imported lists."""
