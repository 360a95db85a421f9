"""Stand-ins for the outside world that keep state and refuse what the real thing refuses."""
