"""What people write, read and checked: fields, drafts, deployment files, imported lists."""
