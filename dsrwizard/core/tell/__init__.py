"""What people read: differences, commands, tickets, incidents, metrics, runbooks."""
