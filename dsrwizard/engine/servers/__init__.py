"""Real servers: one port for Linux over SSH, one for Windows over WinRM."""
