"""What the evidence of a Linux real server means."""
