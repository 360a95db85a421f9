"""`make reboots`: real servers and directors reboot for real, each a Debian with systemd in its own kernel."""
