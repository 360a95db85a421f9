"""The outside world: netlink, SSH, packets, the lab."""
