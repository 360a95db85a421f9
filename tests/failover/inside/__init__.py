"""What runs in the guest: clients, and two who watch. Each works until its standard input ends, then prints one JSON
document. Times are `time.monotonic()` of the guest, the same on every host of it."""
