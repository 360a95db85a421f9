"""What all appliances that are managed over HTTPS have in common: the way to them and the trust in it."""
