"""keepalived as it is: its files written, read and checked, and the lines that put them in force."""
