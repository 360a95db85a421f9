"""Loadbalancer.org: what a deployment is there, and the actions of its API that bring it about."""
