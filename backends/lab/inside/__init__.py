"""What runs inside the guest: its first process, the agent that runs commands, and the servers' service.

Every import is paid for on each boot, so these modules import little and keep to `os` where others would use pathlib.
"""
