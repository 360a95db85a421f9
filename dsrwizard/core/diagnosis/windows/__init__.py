"""What the evidence of a Windows real server means."""
