"""What stands before everything else until it is answered or read."""
