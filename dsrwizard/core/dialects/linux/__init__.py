"""The Linux dialect: how a Linux real server is observed, what it needs, and the script that does it."""
