"""NetScaler: what a deployment is there, and the calls of NITRO that bring it about."""
